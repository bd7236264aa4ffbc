package takeover

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/api/meta"

	"github.com/cephferry/cephferry/pkg/api/v1alpha1"
	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/pkg/count"
	"github.com/cephferry/cephferry/pkg/failover"
	"github.com/cephferry/cephferry/pkg/planning"
)

const (
	// textLimit and listLimit bound what an object shows: etcd takes 1.5 MB at most.
	textLimit = 128 << 10
	listLimit = 1000
	// volumeLimit bounds how many volumes an object has.
	volumeLimit = 2000
)

// shown is a plan as an object shows it, and the volumes that it is about.
func shown(spec v1alpha1.TakeoverSpec, all []planning.Volume) (*v1alpha1.TakeoverPlan, []v1alpha1.TakeoverVolume) {
	var text strings.Builder
	planning.Print(&text, all)
	todo := slices.DeleteFunc(slices.Clone(all), func(v planning.Volume) bool { return v.Plan.Done })
	plan := &v1alpha1.TakeoverPlan{
		Text:  cut(text.String()),
		After: planning.Next(todo),
		Exact: planning.OnlyThese(todo),
	}
	var volumes []v1alpha1.TakeoverVolume
	for _, v := range all {
		volumes = append(volumes, v1alpha1.TakeoverVolume{
			Namespace: v.Claim.Namespace, Claim: v.Claim.Name,
			Image: v.Plan.Image.String(), Record: recordOf(v.Plan), Message: v.Plan.Why,
		})
		plan.Machines = append(plan.Machines, v.Plan.Fence.Machines...)
		plan.Instances = append(plan.Instances, v.Plan.Fence.Instances...)
		plan.Boots = append(plan.Boots, v.Plan.Cut().Boots...)
		for _, carried := range v.Plan.Carried {
			plan.AlsoCutOff = append(plan.AlsoCutOff, carried.Image.String())
		}
	}
	plan.Machines, plan.Instances, plan.AlsoCutOff = unique(plan.Machines), unique(plan.Instances), unique(plan.AlsoCutOff)
	plan.Boots = unique(plan.Boots)
	plan.Digest = digest(text.String(), plan.Machines, plan.Instances, plan.AlsoCutOff)
	plan.AlsoCutOff = plan.AlsoCutOff[:min(len(plan.AlsoCutOff), listLimit)]
	plan.Hash = hashOf(spec, plan, volumes)
	return plan, volumes
}

func unique(all []string) []string {
	slices.Sort(all)
	return slices.Compact(all)
}

// cut leaves whole lines.
func cut(text string) string {
	if len(text) <= textLimit {
		return text
	}
	end := strings.LastIndexByte(text[:textLimit], '\n') + 1
	return text[:end] + fmt.Sprintf("... and %s more; `kubectl cephferry failover` shows all of it\n", count.Of(strings.Count(text[end:], "\n"), "line"))
}

// hashOf stands for who asks for what, for the plan, and for the records that it is about. It
// can be computed from the object alone.
func hashOf(spec v1alpha1.TakeoverSpec, plan *v1alpha1.TakeoverPlan, volumes []v1alpha1.TakeoverVolume) string {
	spec.Confirm = ""
	hashed := *plan
	hashed.Hash = ""
	type record struct{ Namespace, Claim, Image, Record string }
	var records []record
	for _, v := range volumes {
		records = append(records, record{v.Namespace, v.Claim, v.Image, v.Record})
	}
	return digest(spec, hashed, records)[:16]
}

// recordOf is a digest of what the record says, but not of where it stands: one that was put back
// is the same. An image that is this cluster's already goes on changing, with its pods.
func recordOf(plan failover.Plan) string {
	if plan.Done || plan.Ours {
		return ""
	}
	record := plan.Record
	record.Token = ""
	return digest(string(record.Encode()))[:16]
}

func digest(all ...any) string {
	data, err := json.Marshal(all)
	if err != nil {
		panic(err) // strings, numbers and structs of these always marshal
	}
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

// vouched reports whether the person's confirmation stands for the plan in the status: whoever
// has changed that, did not change the hash.
func vouched(t *v1alpha1.Takeover) bool {
	return t.Spec.Confirm != "" && t.Spec.Confirm == t.Status.Confirmed && t.Status.Plan != nil &&
		hashOf(t.Spec, t.Status.Plan, t.Status.Volumes) == t.Status.Confirmed
}

// beyond is what keeps a takeover from going on without another confirmation, or empty: all is
// what would be done now, and late that nothing more may be begun. The status has a plan.
func beyond(t *v1alpha1.Takeover, all []planning.Volume, self ceph.Party, late bool) string {
	confirmed := map[string]v1alpha1.TakeoverVolume{}
	for _, v := range t.Status.Volumes {
		confirmed[v.Namespace+"/"+v.Claim] = v
	}
	plan := t.Status.Plan
	cut := failover.Cut{Machines: plan.Machines, Instances: plan.Instances, Boots: plan.Boots}
	for _, v := range all {
		if v.Plan.Done {
			continue
		}
		was := confirmed[v.Claim.String()]
		record, more := v.Plan.Record, v.Plan.Beyond(cut)
		being := record.State == ceph.Fencing && record.Takeover.UID == self.UID && record.Takeover.By == t.Spec.By
		switch {
		case was.Image != v.Plan.Image.String():
			return fmt.Sprintf("volume %s leads to image %s now, which was not in the plan", v.Claim, v.Plan.Image)
		case late && t.Spec.Node != "":
			return fmt.Sprintf("node %s was not cut off from volume %s within %s of the Takeover's creation", t.Spec.Node, v.Claim, begunWithin)
		case more != "" && t.Spec.Node != "":
			return fmt.Sprintf("for volume %s, %s", v.Claim, more)
		case liftedSince(t, v):
			return fmt.Sprintf("node %s was fenced for volume %s, and somebody has let it in again since", t.Spec.Node, v.Claim)
		case being, v.Plan.Ours:
		case was.Record != recordOf(v.Plan):
			return fmt.Sprintf("the record of volume %s has changed since the plan was confirmed, and nobody takes its image any more: "+
				"somebody has given the takeover up, or cluster %s lives; look at `kubectl cephferry history %s`", v.Claim, t.Spec.From, v.Claim)
		case late:
			return fmt.Sprintf("taking volume %s was not begun within %s of the Takeover's creation", v.Claim, begunWithin)
		}
		if more != "" {
			return fmt.Sprintf("for volume %s, %s", v.Claim, more)
		}
	}
	return ""
}

// liftedSince reports whether machines of a lost node were fenced for the plan that was confirmed, and their
// fence was lifted: the record says that they are fenced from before that is done until they are let in.
// Where the node has rebooted, or has got an address, since, that is no such fence.
func liftedSince(t *v1alpha1.Takeover, v planning.Volume) bool {
	if v.Plan.Wish.Lost == "" || !vouched(t) || !meta.IsStatusConditionTrue(t.Status.Conditions, machinesCondition) {
		return false
	}
	for _, fenced := range v.Plan.Fenced() {
		for _, address := range fenced.Node.Addresses {
			if !slices.ContainsFunc(v.Plan.Record.Fenced, func(f ceph.FencedNode) bool {
				return f.Cluster.UID == fenced.Cluster.UID && f.Node.Name == fenced.Node.Name && f.Node.BootID == fenced.Node.BootID &&
					slices.Contains(f.Node.Addresses, address)
			}) {
				return true
			}
		}
	}
	return false
}
