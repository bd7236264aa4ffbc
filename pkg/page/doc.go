// Package page is the page that shows a cluster's volumes to people in a browser: who owns
// what, what waits, what is fenced. It reads the objects of package v1alpha1 and changes
// nothing; it serves only GET and HEAD.
//
// The webhook serves it with the API server's own authentication and authorization. "kubectl
// cephferry dashboard" serves it on a person's machine with that person's rights. The two
// differ in who a requester is and what they may list: a Viewer.
//
// Nothing is kept while nobody looks. The first request fills a cache, and the cache ends some
// time after the last one.
package page
