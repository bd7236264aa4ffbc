// Package postrender is the use case of cmd/postrender: it reads a stream of
// rendered manifests, finds the migratable claims, plans every pair, makes sure
// that the images exist, and writes the stream with the pairs in place.
//
// Everything is planned before anything is done, and the output is written only
// after all of it succeeded. All mistakes of one run are reported together.
//
// The steps, a file each: render.go is the order of things; find.go walks the
// documents; claim.go and statefulset.go plan pairs and refuse what cannot
// become one; images.go asks for the images; splice.go edits and inserts.
package postrender
