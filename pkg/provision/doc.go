// Package provision makes sure that volumes exist with the size that their claims
// ask for. It keeps the size rule: the claim's size is fixed when the volume is
// made, and is kept in the volume's record; a larger request grows the volume; nothing
// ever shrinks or deletes one.
//
// [Ensure] first checks every volume and refuses before it changes anything.
// Then it changes the volumes concurrently. The pure function decide says what it does to
// one volume.
package provision
