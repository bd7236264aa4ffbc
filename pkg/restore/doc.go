// Package restore writes the claims of a cluster that is lost, out of the records of its images.
//
// A record says whose claim an image is, and how large that claim is. Where the image is says
// which class of this cluster leads there. Access modes and volume mode stand nowhere in Ceph:
// a person says them. Whatever else is not known is a comment or an error, and never made up.
package restore
