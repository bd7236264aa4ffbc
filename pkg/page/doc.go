// Package page is the page that shows a cluster's volumes to people in a browser: who owns
// what, what waits, what is fenced. It reads the objects of package v1alpha1 and changes
// nothing; it has no other method than GET.
//
// The webhook serves it behind the API server's own authentication and authorization, and
// "kubectl cephferry dashboard" serves it on the machine of a person, with that person's
// rights. What differs is who a requester is and what they may list: a Viewer.
//
// Nothing is kept while nobody looks. The first request fills a cache, the last one is
// followed by its end.
package page
