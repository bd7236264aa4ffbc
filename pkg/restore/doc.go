// Package restore writes the claims of a lost cluster from the records of its images.
//
// A record says which claim an image is for, and how large that claim is. Where the image is
// says which class of this cluster leads there. Ceph has neither access modes nor volume mode:
// a person gives them. Whatever else is not known becomes a comment or an error, and is never
// made up.
package restore
