package rekey

import (
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/cephferry/cephferry/pkg/annotations"
	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/pkg/idle"
	"github.com/cephferry/cephferry/pkg/missing"
	"github.com/cephferry/cephferry/pkg/ownership"
	"github.com/cephferry/cephferry/pkg/staticpv"
	"github.com/cephferry/cephferry/pkg/storageclass"
	"github.com/cephferry/cephferry/pkg/usage"
)

// Pair is a claim and what is known of its volume.
type Pair struct {
	Claim *corev1.PersistentVolumeClaim
	// Volume is nil when it is gone.
	Volume *corev1.PersistentVolume
	// Copy is the volume that is to take its place, with the uid of the one that it was
	// copied from; nil when there is none at Path.
	Copy *corev1.PersistentVolume
	Path string
}

// Step is what a pair needs.
type Step string

// The steps.
const (
	// Replace: the volume has no key.
	Replace Step = "replace"
	// Restore: the volume was deleted to be replaced, and the copy is what is left.
	Restore Step = "restore"
	// Finish: the volume has a key.
	Finish Step = "finish"
)

// Decide says what a pair needs, or returns an [*idle.Refusal].
//
//	volume           copy                step
//	there, no key    any                 replace
//	deleted by us    of this volume      replace
//	deleted          none, of another    refused
//	there, a key     any                 finish
//	gone             of this claim       restore
//	gone             none, of another    refused
func Decide(pair Pair) (Step, error) {
	claim := pair.Claim
	if err := checkClaim(claim); err != nil {
		return "", err
	}
	if pair.Volume == nil {
		switch {
		case pair.Copy == nil:
			return "", &idle.Refusal{
				What: fmt.Sprintf("PersistentVolume %s is gone, and there is no copy of it in %s", claim.Spec.VolumeName, pair.Path),
				Do:   "run the same command where the copy is, or name its directory with --save",
			}
		case checkVolume(pair.Copy, claim) != nil || !isKeyed(pair.Copy):
			return "", &idle.Refusal{
				What: fmt.Sprintf("PersistentVolume %s is gone, and the copy in %s is not of this claim's volume", claim.Spec.VolumeName, pair.Path),
				Do:   "find the copy that is, and name its directory with --save",
			}
		}
		return Restore, nil
	}
	if err := checkVolume(pair.Volume, claim); err != nil {
		return "", err
	}
	switch {
	case pair.Volume.DeletionTimestamp != nil && (isKeyed(pair.Volume) || pair.Copy == nil || pair.Copy.UID != pair.Volume.UID):
		return "", &idle.Refusal{
			What: fmt.Sprintf("PersistentVolume %s is being deleted, and not by this command", pair.Volume.Name),
			Do:   "find out who deleted it; if it was this command somewhere else, name the directory of its copy with --save",
		}
	case isKeyed(pair.Volume):
		return Finish, nil
	}
	return Replace, nil
}

func checkClaim(claim *corev1.PersistentVolumeClaim) error {
	switch {
	case claim.DeletionTimestamp != nil:
		return &idle.Refusal{What: "the claim is being deleted", Do: "nothing: a claim that is made again gets its volume as the image is"}
	case claim.Spec.VolumeName == "":
		return &idle.Refusal{What: "the claim has no volume yet", Do: "wait until it is bound; its events say what keeps it"}
	case claim.Annotations[annotations.Keyed] == "false":
		return &idle.Refusal{
			What: fmt.Sprintf("the claim asks for an image without keys, with %s: \"false\"", annotations.Keyed),
			Do:   "take the annotation out of the chart, and off the claim with `kubectl annotate`, then run the same command again",
		}
	}
	return nil
}

// checkVolume returns a refusal unless the volume is one of ours, bound to the claim, whose
// deletion leaves the image alone.
func checkVolume(pv *corev1.PersistentVolume, claim *corev1.PersistentVolumeClaim) error {
	ref := pv.Spec.ClaimRef
	switch {
	case !isPair(pv, claim):
		return &idle.Refusal{
			What: fmt.Sprintf("PersistentVolume %s is not a static RBD volume that was made for this claim and named after its image", pv.Name),
			Do:   "adopt the image, as docs/adopt.md says",
		}
	case ref.UID == "" || ref.UID != claim.UID:
		return &idle.Refusal{
			What: fmt.Sprintf("PersistentVolume %s is not bound to this claim: spec.claimRef.uid is %q, and the claim's is %q", pv.Name, ref.UID, claim.UID),
			Do:   "wait until the claim is bound, then run the same command again",
		}
	case pv.Spec.PersistentVolumeReclaimPolicy != corev1.PersistentVolumeReclaimRetain:
		return &idle.Refusal{
			What: fmt.Sprintf("PersistentVolume %s has the reclaim policy %s", pv.Name, pv.Spec.PersistentVolumeReclaimPolicy),
			Do:   fmt.Sprintf("`kubectl patch pv %s -p '{\"spec\":{\"persistentVolumeReclaimPolicy\":\"Retain\"}}'`", pv.Name),
		}
	}
	return nil
}

func isPair(pv *corev1.PersistentVolume, claim *corev1.PersistentVolumeClaim) bool {
	csi := pv.Spec.CSI
	return csi != nil && storageclass.IsRBD(csi.Driver) && staticpv.IsPair(pv, claim.Namespace, claim.Name) && pv.Name == claim.Spec.VolumeName
}

func isKeyed(pv *corev1.PersistentVolume) bool {
	_, key := ceph.SplitName(pv.Spec.CSI.VolumeHandle)
	return key != ""
}

// keyed is the volume that takes the place of one without a key. It has that one's uid, so
// that the copy says which one that was. Its mappings are clients of their own: those of
// pairs from before there were keys share one, and a fence cuts off all of them.
func keyed(old *corev1.PersistentVolume, key string) (*corev1.PersistentVolume, error) {
	next := &corev1.PersistentVolume{Spec: *old.Spec.DeepCopy()}
	next.APIVersion, next.Kind = "v1", "PersistentVolume"
	next.Name, next.UID, next.Labels, next.Annotations = old.Name, old.UID, old.Labels, old.Annotations
	next.Spec.CSI.VolumeHandle = staticpv.Handle(old.Spec.CSI.VolumeHandle, key)
	if length := len(next.Spec.CSI.VolumeHandle); length > annotations.MaxImageName {
		return nil, &idle.Refusal{
			What: fmt.Sprintf("the image must carry the key of its owner, and %q has %d bytes, more than the %d that a name of an image may have", next.Spec.CSI.VolumeHandle, length, annotations.MaxImageName),
			Do:   "leave it without a key",
		}
	}
	staticpv.SetPrivate(next)
	return next, nil
}

// fitsKeys returns a refusal if the image cannot carry its name with one of the keys, and nil if
// it can.
func fitsKeys(image string, keys []ceph.Key) error {
	if why := staticpv.TooLong(image, keys); why != "" {
		return &idle.Refusal{What: why, Do: "leave it without a key"}
	}
	return nil
}

// keyedRecord is the record of the image once it is keyed. One that had none is mapped as
// its volume says. Volumes of before lead to the image no more, so it may also say from then
// on that each mapping is a client of its own, if krbd is what maps this cluster's.
func keyedRecord(stored ceph.Record, pv *corev1.PersistentVolume) ceph.Record {
	next := stored
	if stored.Revision == 0 {
		capacity := pv.Spec.Capacity[corev1.ResourceStorage]
		next.ClaimSize, next.Exclusive = uint64(max(0, capacity.Value())), staticpv.IsExclusive(pv)
	}
	next.Keyed, next.Private = true, stored.Private || staticpv.MapsByKRBD(pv)
	return next
}

// wayOut is what to do about a use, before the same command is run again.
func wayOut(seen usage.Evidence) string {
	facts := missing.Facts{Evidence: seen}
	if len(seen.Strays) > 0 {
		facts.Stray = &seen.Strays[0]
	}
	all := missing.Here(facts)
	switch {
	case slices.ContainsFunc(seen.Uses, func(u usage.Use) bool { return u.Pod != "" && u.Ends.IsZero() }):
		return "scale the workload to zero, wait until its pods are gone, then run the same command again"
	case len(all) > 0:
		return all[0].WayOut + "; then run the same command again"
	}
	return "end what has the image open, then run the same command again"
}

// mayReplace returns an [*idle.Refusal] unless the volume of this cluster may be replaced, as
// the record and what was seen after it was read say. Watchers are asked for only where the
// image is free: those of one that another cluster owns are that cluster's.
//
//	record           used here   a watcher   image keyed   result
//	fencing          any         any         any           refused
//	held by another  no          any         yes           replaced
//	held by another  no          any         no            refused
//	free             no          no          any           replaced
//	free             no          yes         any           refused
//	any              yes         any         any           refused
func mayReplace(record ceph.Record, seen usage.Evidence, watchers []string) error {
	inUse := func(what string) error {
		return &idle.Refusal{What: "it is in use: " + what, Do: wayOut(seen)}
	}
	switch {
	case record.State == ceph.Fencing:
		return &idle.Refusal{What: "the image is being taken from its owner", Do: "end the failover first, then run the same command again"}
	case record.State == ceph.Held && !record.Keyed:
		return &idle.Refusal{
			What: fmt.Sprintf("cluster %s owns it, claim %s/%s, and opens it by a name without a key", record.Owner.Name, record.Owner.Namespace, record.Owner.Claim),
			Do:   "run the command in that cluster first, or scale the workload to zero there; a cluster that is dead is for failover",
		}
	case len(seen.Uses) > 0:
		return inUse(seen.Uses[0].What)
	case len(seen.Strays) > 0:
		return inUse("a node may use it: " + seen.Strays[0].What)
	case record.State == ceph.Free && len(watchers) > 0:
		return inUse("client " + watchers[0] + " has it open")
	}
	return nil
}

// isOurs reports whether the image has to be released first.
func isOurs(record ceph.Record, self ceph.Party) bool {
	return record.State == ceph.Held && ownership.Owns(record, self)
}
