package ceph

import "errors"

// The errors of a Ceph cluster, for errors.Is. Implementations translate errno
// values to these once, at the edge, and wrap them with the call and the object.
var (
	ErrUnreachable = newError("ceph does not answer",
		"check that the monitors and OSDs are up and that this machine has a route to them, then run the same command again")
	ErrAuth = newError("ceph does not accept the key",
		"compare user and key with `ceph auth get client.<user>`")
	ErrSettings = newError("the settings do not lead to a ceph cluster",
		"check that the ceph.conf exists and has a line \"mon_host\", and that it or --ceph-keyring names a keyring that has the user")
	ErrKeyType = newError("the key is of type aes256k, which this program's librados does not know",
		"run a build with librados of Ceph 19.2.6, 20.2.4 or later, or give the user a key of the old type; see docs/security.md")
	ErrBlocklisted = newError("ceph has put this client on the blocklist",
		"look for this machine's address in `ceph osd blocklist ls`; find out who fenced it, and why, before removing the entry")
	ErrPermission = newError("the ceph user lacks a capability",
		"compare `ceph auth get client.<user>` with docs/security.md")
	ErrPoolNotFound = newError("the pool does not exist",
		"compare the StorageClass parameter \"pool\" with `ceph osd pool ls`, for CephFS with the data pools in `ceph fs ls`")
	ErrNamespaceNotFound = newError("the rados namespace does not exist in the pool",
		"compare the clusterID's entry in ceph-csi's config.json with `rbd namespace ls <pool>`")
	ErrPoolFull = newError("the pool is full or its quota is used up",
		"raise the quota with `ceph osd pool set-quota <pool> max_bytes <bytes>`, or free space")
	ErrLayout = newError("ceph cannot make an image with this layout",
		"correct the StorageClass parameters \"imageFeatures\", \"objectSize\", \"stripeUnit\" and \"stripeCount\"")
	ErrImageNotFound = newError("the image does not exist",
		"compare the name with `rbd ls`")
	ErrImageExists = newError("the image exists already",
		"choose another name, or adopt the image")
	ErrImageName = newError("no image can have this name",
		"choose a name of at most 96 bytes without \"/\" and \"@\"")
	ErrImageRenamed = newError("the image is being renamed by somebody else",
		"look at its names with `rbd ls`, then run the same command again")
	ErrKey = newError("no cluster can have this key",
		"choose a cluster name of at most 94 bytes without \"~\", \"/\" and \"@\"")
	ErrKeyTaken = newError("the key of another cluster",
		"give this cluster a name of its own; two clusters of one Ceph cannot have the same")
	ErrImageShrinks = newError("the image is larger than the size asked for",
		"ask for at least the image's size; images never shrink")
	ErrImageLocked = newError("the image is mapped exclusively and cannot be changed now",
		"scale the workload that uses it to zero, then run the same command again")
	ErrFenceAddress = newError("this is not the address of a client or a machine",
		"give it as `rbd status` prints it, ip:0/nonce, or as ip:0/0 for everything on that machine")
	ErrFenceShort = newError("the blocklist has an entry that ends too early, and Ceph does not prolong entries",
		"cover it meanwhile (`ceph osd blocklist range add ip/32 3600`, which cuts off everything on that machine), run the same command again, then `ceph osd blocklist range rm ip/32`")
	ErrFilesystemNotFound = newError("the file system does not exist",
		"compare the StorageClass parameter \"fsName\" with `ceph fs ls`")
	ErrSubvolumeNotFound = newError("the subvolume does not exist",
		"compare the name with `ceph fs subvolume ls <file system> <group>`")
	ErrSubvolumeExists = newError("the subvolume exists already",
		"choose another name, or adopt the subvolume")
	ErrSubvolumeShrinks = newError("the subvolume is larger than the size asked for",
		"ask for at least the subvolume's size; quotas are never lowered")
	ErrRecordNotFound = newError("the volume has no record",
		"nothing needs to be done")
	ErrRecordChanged = newError("the volume's record was changed by somebody else meanwhile",
		"run the same command again")
	ErrRecordUnknown = newError("the volume's record is not one this version understands",
		"use the version of cephferry that wrote it, or a later one; change nothing by hand")
	ErrRegistrationNotFound = newError("the cluster is not registered",
		"check that its webhook runs and has a guarded volume in the pool")
	ErrRegistrationChanged = newError("the cluster's registration was changed by somebody else meanwhile",
		"run the same command again")
	ErrRegistrationUnknown = newError("the cluster's registration is not one this version understands",
		"use the version of cephferry that wrote it, or a later one; change nothing by hand")
)

// Advice is the next step for the person who sees err: what to do about the
// first of this package's errors in err's tree. It is empty for other errors.
func Advice(err error) string {
	var locked *LockedError
	if errors.As(err, &locked) && !locked.Answers {
		return locked.advice()
	}
	var e *actionable
	if errors.As(err, &e) {
		return e.advice
	}
	return ""
}

// actionable is an error with a next step.
type actionable struct{ text, advice string }

func (e *actionable) Error() string { return e.text }

func newError(text, advice string) error { return &actionable{text, advice} }
