package objects

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/cephferry/cephferry/pkg/api/v1alpha1"
	"github.com/cephferry/cephferry/pkg/ceph"
)

// silentAfter is after what time without a new registration a cluster is not Seen. One that
// lives writes it once a minute.
const silentAfter = 5 * time.Minute

// Reasons of the conditions.
const (
	reasonRegistered = "Registered"
	reasonRegisters  = "Registers"
	reasonSilent     = "Silent"
)

// registered is what is known of a cluster.
type registered struct {
	key          string
	registration ceph.Registration
	// err is why the registration cannot be read; only the UID is known then.
	err error
	// heard is when a new registration was seen last, by this cluster's clock.
	heard time.Time
	// owned is how many images it owns, less than 0 while no sweep has found that out.
	owned int
}

// objectName is the name of a cluster's object: its key, or its name and the first 8 characters
// of its UID where it has none, where its key is no name of an object, or another cluster has
// the same one in another Ceph.
func (r registered) objectName(isTaken bool) string {
	if name := toName(r.key); r.key != "" && name == r.key && !isTaken {
		return name
	}
	base := r.key
	if base == "" {
		base = r.registration.Name
	}
	uid := r.registration.UID
	return strings.Trim(toName(base)+"-"+toName(uid[:min(8, len(uid))]), "-.")
}

// toName is a text in the characters that names of objects have.
func toName(text string) string {
	text = strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '-' || r == '.' {
			return r
		}
		return '-'
	}, strings.ToLower(text))
	for strings.Contains(text, "..") || strings.Contains(text, ".-") || strings.Contains(text, "-.") {
		text = strings.NewReplacer("..", ".", ".-", "-", "-.", "-").Replace(text)
	}
	return strings.Trim(text[:min(len(text), 63)], "-.")
}

// clusterStatus is what is shown after what was shown before. Of a registration that cannot be
// read, what was known of it stays.
func clusterStatus(self ceph.Party, before v1alpha1.FerryClusterStatus, is registered, now time.Time) v1alpha1.FerryClusterStatus {
	next := *before.DeepCopy()
	next.UID, next.ThisCluster = is.registration.UID, is.registration.UID == self.UID
	if is.owned >= 0 {
		next.VolumesOwned = int32(is.owned)
	}
	set := func(kind string, is metav1.ConditionStatus, reason, message string) {
		meta.SetStatusCondition(&next.Conditions, metav1.Condition{
			Type: kind, Status: is, Reason: reason, Message: message[:min(len(message), maxMessage)],
			LastTransitionTime: metav1.NewTime(now.Truncate(time.Second)),
		})
	}
	if is.err != nil {
		set(v1alpha1.ConditionReadable, metav1.ConditionFalse, reasonFormat, is.err.Error())
		set(v1alpha1.ConditionSeen, metav1.ConditionUnknown, reasonFormat, "")
		return next
	}
	next.Name, next.Version = is.registration.Name, is.registration.Version
	written := metav1.NewTime(is.registration.Written.Truncate(time.Minute))
	next.LastSeen = &written
	next.Nodes = nil
	for _, node := range is.registration.Nodes {
		next.Nodes = append(next.Nodes, node.Name)
	}
	slices.Sort(next.Nodes)
	next.Nodes = slices.Compact(next.Nodes)
	next.NodeCount = int32(len(next.Nodes))
	set(v1alpha1.ConditionReadable, metav1.ConditionTrue, reasonRegistered, "")
	if now.Sub(is.heard) > silentAfter {
		set(v1alpha1.ConditionSeen, metav1.ConditionFalse, reasonSilent, fmt.Sprintf("no new registration since %s, by that cluster's clock", is.registration.Written.UTC().Format(time.RFC3339)))
	} else {
		set(v1alpha1.ConditionSeen, metav1.ConditionTrue, reasonRegisters, "")
	}
	return next
}
