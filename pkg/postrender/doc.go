// Package postrender is the use case of cmd/postrender: it reads a stream of
// rendered manifests, finds the migratable claims, and writes the stream with the
// claims changed. [ForCluster] prepares them for the reconciler in the cluster.
// [Renderer] plans every pair, makes sure that the images exist, and puts the pairs
// in place.
//
// Everything is planned before anything is done, and the output is written only
// after all of it succeeded. All mistakes of one run are reported together.
//
// Each step has a file: find.go walks the documents; cluster.go is all of
// ForCluster; render.go is the order of things in Render; claim.go and
// statefulset.go plan pairs and refuse what cannot become one; images.go asks for
// the images, and provisioned.go has who answers; splice.go edits and inserts.
package postrender
