// Package rekey gives a pair that was made without a key the key of its cluster: the image
// becomes keyed, and the PersistentVolume is replaced by one whose handle has the key, and
// whose mappings are clients of their own. The claim and the data stay. Each step is found done when a run that died is repeated.
package rekey
