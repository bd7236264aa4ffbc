// Package site checks the site that `make site` builds from the documents: its links, its menu,
// and how it looks in a browser. It needs the built site, so it is a tier of its own with the
// tag site: `make test-site`.
package site
