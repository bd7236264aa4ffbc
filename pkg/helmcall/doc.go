// Package helmcall finds out what the Helm that called the post-renderer is
// doing. Helm tells a post-renderer nothing: neither the release's namespace nor
// whether this is a dry run is in its arguments, its environment or its input
// (Helm 3.22 and 4.3). Both are on the command line of the helm process, the
// nearest one among the parents.
//
// The environment alone would mislead: HELM_NAMESPACE is set only if the user
// exported it, and -n overrides it.
package helmcall
