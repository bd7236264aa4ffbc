// Package rekey gives the key of its cluster to a pair that was made without one. The image
// becomes keyed. The PersistentVolume is replaced by one whose handle has the key, and whose
// mappings are clients of their own. The claim and the data stay. When a run that died is
// repeated, it finds the steps that are done.
package rekey
