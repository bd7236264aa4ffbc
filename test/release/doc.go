// Package release tests what people install a release with: the hooks of the Helm plugin, and
// the archives that release/snapshot makes. A web server on this machine stands in for GitHub.
package release
