package objects

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/cephferry/cephferry/pkg/api/v1alpha1"
	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/pkg/keeper"
	"github.com/cephferry/cephferry/pkg/ownership"
)

// Reasons of the conditions.
const (
	reasonRead        = "RecordRead"
	reasonNoImage     = "NoImage"
	reasonFormat      = "UnknownFormat"
	reasonNoAnswer    = "NoAnswer"
	reasonFree        = "Free"
	reasonOwnedHere   = "OwnedHere"
	reasonElsewhere   = "OwnedElsewhere"
	reasonFencing     = "Fencing"
	reasonNobody      = "NobodyWaits"
	reasonPodsRefused = "PodsRefused"
	reasonClaimWaits  = "ClaimWaits"
	reasonNodeUses    = "NodeMayUseIt"
	reasonNotUsed     = "NotUsedHere"
)

// maxMessage bounds what a condition says.
const maxMessage = 2000

// shown is what is known of a claim's volume.
type shown struct {
	// pv is the name of its PersistentVolume, empty while the claim waits for it.
	pv, image string
	seen      keeper.Seen
	// claimWaits is why the claim has no volume yet.
	claimWaits string
}

// status is what is shown after what was shown before. Of a record that cannot be read, what
// was known of it stays.
func status(self ceph.Party, before v1alpha1.MigratableVolumeStatus, claim string, is shown, now time.Time) v1alpha1.MigratableVolumeStatus {
	next := *before.DeepCopy()
	next.PersistentVolume = is.pv
	if is.seen.Err != nil {
		// Where Ceph does not answer, the image's rados namespace is not known either.
		next.State, next.Image = v1alpha1.VolumeUnknown, cmp.Or(next.Image, is.image)
	} else {
		next.Image = is.image
		showRecord(&next, self, is.seen.Record)
	}
	set := func(kind string, is metav1.ConditionStatus, reason, message string) {
		meta.SetStatusCondition(&next.Conditions, metav1.Condition{
			Type: kind, Status: is, Reason: reason, Message: message[:min(len(message), maxMessage)],
			LastTransitionTime: metav1.NewTime(now.Truncate(time.Second)),
		})
	}
	known, reason, message := knownBy(is.seen.Err)
	set(v1alpha1.ConditionKnown, known, reason, message)
	usable, reason, message := usableBy(self, is.seen, reason)
	set(v1alpha1.ConditionUsable, usable, reason, message)
	if is.seen.Elsewhere != "" {
		set(v1alpha1.ConditionOwnedElsewhere, metav1.ConditionTrue, reasonElsewhere, is.seen.Elsewhere)
	} else {
		set(v1alpha1.ConditionOwnedElsewhere, metav1.ConditionFalse, reasonNotUsed, "")
	}
	waiting := meta.FindStatusCondition(next.Conditions, v1alpha1.ConditionWaiting)
	next.Missing = shownMissing(is.seen.Missing)
	switch {
	case is.claimWaits != "":
		next.Waiting = "PersistentVolumeClaim/" + claim
		set(v1alpha1.ConditionWaiting, metav1.ConditionTrue, reasonClaimWaits, is.claimWaits)
	case len(is.seen.Missing) > 0:
		first := is.seen.Missing[0]
		next.Waiting = first.Subject
		set(v1alpha1.ConditionWaiting, metav1.ConditionTrue, first.Kind, missingText(is.seen.Missing))
	case is.seen.Use != "":
		next.Waiting = "Node/" + is.seen.Node
		set(v1alpha1.ConditionWaiting, metav1.ConditionTrue, reasonNodeUses, is.seen.Use+"; the image is released when that is over")
	case waiting != nil && waiting.Status == metav1.ConditionTrue && waiting.Reason == reasonPodsRefused && mayWait(next):
		// Another replica may have refused them; it says when that is over.
		next.Missing = before.Missing
	default:
		next.Waiting = ""
		set(v1alpha1.ConditionWaiting, metav1.ConditionFalse, reasonNobody, "")
	}
	return next
}

// shownMissing is what keeps an image from being released, as objects have it.
func shownMissing(all []ceph.Missing) []v1alpha1.VolumeMissing {
	var shown []v1alpha1.VolumeMissing
	for _, m := range all {
		one := v1alpha1.VolumeMissing{Kind: m.Kind, Subject: m.Subject, What: m.What, WayOut: m.WayOut}
		if !m.Since.IsZero() {
			one.Since = &metav1.Time{Time: m.Since}
		}
		shown = append(shown, one)
	}
	return shown
}

func missingText(all []ceph.Missing) string {
	var texts []string
	for _, m := range all {
		texts = append(texts, m.String())
	}
	return strings.Join(texts, "\n")
}

// mayWait reports whether pods can be waiting for the image that is shown: not if it is free or
// this cluster's.
func mayWait(is v1alpha1.MigratableVolumeStatus) bool {
	return is.State == v1alpha1.VolumeFencing || is.State == v1alpha1.VolumeUnknown || is.Owner != nil && !is.Owner.ThisCluster
}

// showRecord shows what a record says.
func showRecord(is *v1alpha1.MigratableVolumeStatus, self ceph.Party, record ceph.Record) {
	is.State, is.Owner, is.Takeover, is.Fenced, is.History = v1alpha1.VolumeUnknown, nil, nil, nil, nil
	is.Keyed = record.Keyed
	switch record.State {
	case ceph.Free:
		is.State = v1alpha1.VolumeFree
	case ceph.Held:
		is.State = v1alpha1.VolumeHeld
	case ceph.Fencing:
		is.State = v1alpha1.VolumeFencing
	}
	if owner := record.Owner; owner != nil {
		since := metav1.NewTime(owner.Since)
		is.Owner = &v1alpha1.VolumeOwner{
			Name: owner.Name, UID: owner.UID, ThisCluster: owner.UID == self.UID,
			Namespace: owner.Namespace, Claim: owner.Claim, Since: &since,
		}
		for _, node := range owner.Nodes {
			is.Owner.Nodes = append(is.Owner.Nodes, node.Name)
		}
		// One node may be there with several boots.
		slices.Sort(is.Owner.Nodes)
		is.Owner.Nodes = slices.Compact(is.Owner.Nodes)
	}
	if takeover := record.Takeover; takeover != nil {
		is.Takeover = &v1alpha1.VolumeTakeover{Cluster: takeover.Name, By: takeover.By, Since: metav1.NewTime(takeover.Since)}
	}
	for _, fenced := range record.Fenced {
		is.Fenced = append(is.Fenced, v1alpha1.FencedMachine{Cluster: fenced.Cluster.Name, Node: fenced.Node.Name, Addresses: fenced.Node.Addresses})
	}
	for _, change := range record.History {
		line := v1alpha1.VolumeChange{At: metav1.NewTime(change.At), Event: string(change.Event), Cluster: change.Name, By: change.By}
		if change.From != nil {
			line.From = change.From.Name
		}
		is.History = append(is.History, line)
	}
}

func knownBy(err error) (metav1.ConditionStatus, string, string) {
	if err == nil {
		return metav1.ConditionTrue, reasonRead, ""
	}
	reason := reasonNoAnswer
	switch {
	case errors.Is(err, ceph.ErrImageNotFound):
		reason = reasonNoImage
	case errors.Is(err, ceph.ErrRecordUnknown):
		reason = reasonFormat
	}
	message := err.Error()
	if advice := ceph.Advice(err); advice != "" {
		message += "; " + advice
	}
	return metav1.ConditionFalse, reason, message
}

// usableBy has why the record is not known, if it is not.
func usableBy(self ceph.Party, seen keeper.Seen, unknown string) (metav1.ConditionStatus, string, string) {
	record := seen.Record
	switch {
	case seen.Err != nil:
		return metav1.ConditionUnknown, unknown, "the record of the image cannot be read, so no pod is admitted"
	case record.State == ceph.Free:
		return metav1.ConditionTrue, reasonFree, ""
	case record.State == ceph.Fencing:
		return metav1.ConditionFalse, reasonFencing, fmt.Sprintf("%s is taking the image from cluster %s, for cluster %s", record.Takeover.By, record.Owner.Name, record.Takeover.Name)
	case ownership.Owns(record, self):
		return metav1.ConditionTrue, reasonOwnedHere, ""
	}
	where := ""
	if nodes := record.Owner.Nodes; len(nodes) > 0 {
		where = " on node " + nodes[0].Name
	}
	return metav1.ConditionFalse, reasonElsewhere, fmt.Sprintf("cluster %s has the image%s, for claim %s/%s. If it lives, scale the workload to zero there; "+
		"if it is dead, a failover takes the image from it", record.Owner.Name, where, record.Owner.Namespace, record.Owner.Claim)
}

// refusedText is what is said of pods that were refused.
func refusedText(workload string, is v1alpha1.MigratableVolumeStatus, now time.Time) string {
	until := "when the image may be used here"
	if is.Owner != nil && is.State == v1alpha1.VolumeHeld {
		until = "when cluster " + is.Owner.Name + " has released the image"
	}
	return fmt.Sprintf("pods of %s were refused, last noted at %s; they start by themselves %s", strings.Replace(workload, "/", " ", 1), now.UTC().Format(time.RFC3339), until)
}
