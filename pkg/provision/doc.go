// Package provision makes sure that volumes exist with the size that their claims
// ask for. It keeps the size rule: the claim's size is fixed when the volume is
// made and kept in the volume's record, a larger request grows the volume, nothing
// ever shrinks or deletes one.
//
// [Ensure] first looks at every volume and refuses before it changes anything;
// then it changes the volumes concurrently. What it does to one volume is decided
// by the pure function decide.
package provision
