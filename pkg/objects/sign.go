package objects

import (
	"encoding/json"
	"hash/fnv"
	"io"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/cephferry/cephferry/pkg/api/v1alpha1"
	"github.com/cephferry/cephferry/pkg/volumes"
)

// signature tells what is shown of a volume from what was shown before, without making it:
// ten thousand volumes are compared twice a minute. A record's token is unique to one write.
func signature(uid string, is shown) uint64 {
	hash := fnv.New64a()
	add := func(text string) {
		_, _ = io.WriteString(hash, text)
		hash.Write([]byte{0})
	}
	seen := is.seen
	for _, text := range []string{uid, is.pv, is.image, seen.Record.Token, seen.Elsewhere, seen.Node, seen.Use, is.claimWaits} {
		add(text)
	}
	add(missingText(seen.Missing))
	if seen.Err != nil {
		add(seen.Err.Error())
	}
	return max(1, hash.Sum64()) // 0 is of none
}

// content tells what an object shows from what another one would, but for when a condition
// changed, and for pods that wait: those are another writer's.
func content(owner string, is v1alpha1.MigratableVolumeStatus) uint64 {
	is = *is.DeepCopy()
	is.Waiting = ""
	for i := range is.Conditions {
		is.Conditions[i].LastTransitionTime = metav1.Time{}
		if is.Conditions[i].Type == v1alpha1.ConditionWaiting && is.Conditions[i].Reason == reasonPodsRefused {
			is.Missing = nil
			is.Conditions[i].Status, is.Conditions[i].Reason, is.Conditions[i].Message = metav1.ConditionFalse, reasonNobody, ""
		}
	}
	data, err := json.Marshal(is)
	if err != nil {
		panic(err) // texts, numbers and times always marshal
	}
	hash := fnv.New64a()
	_, _ = io.WriteString(hash, owner)
	hash.Write(data)
	return max(1, hash.Sum64())
}

// claimUID is that of the claim that the PersistentVolume is bound to, if it is known yet.
func claimUID(volume volumes.Volume) string {
	if ref := volume.PV.Spec.ClaimRef; ref != nil {
		return string(ref.UID)
	}
	return ""
}
