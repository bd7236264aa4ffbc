// Package provision makes sure that images exist with the size that their claims
// ask for. It keeps the size rule: the claim's size is fixed when the image is
// made and kept in the image's record, a larger request grows the image, nothing
// ever shrinks or deletes one.
//
// [Ensure] first looks at every image and refuses before it changes anything;
// then it changes the images concurrently. What it does to one image is decided
// by the pure function decide.
package provision
