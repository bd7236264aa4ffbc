//go:build lab

package guard

import (
	"fmt"
	"strings"
	"testing"

	"github.com/cephferry/cephferry/test/scene"
)

// A tenant who may make claims and pods in his own namespace, and nothing else, names
// another one's volume in a claim. His pods can never run. They take nothing, in none of 25
// tries, and no answer tells him of the volume.
func TestATenantTakesNothingByNamingAnothersVolume(t *testing.T) {
	t.Parallel()
	victim, evil := newShop(t), newShop(t)
	victim.Volume("data", east, west)
	evil.Volume("own", west) // so that his namespace is guarded
	evil.Create(west, evil.PVC("greedy", "volumeName: "+evil.Namespace+".greedy", "volumeName: "+victim.Namespace+".data"))
	taken := 0
	for round := range 25 {
		evil.Create(west, scene.Pod(fmt.Sprint("x", round), "greedy", `nodeSelector: {example.com/no: such-node}`))
		if record := victim.Record("data"); record.Owner != nil {
			taken++
		}
	}
	if taken != 0 {
		t.Fatalf("taken after %d of 25 pods: %s", taken, victim.Record("data").Encode())
	}
	victim.Holds(east, "data")
	evil.Create(west, scene.Pod("x", "greedy"))
	got := evil.Run(west, scene.Pod("on-node", "greedy", "nodeName: "+west.Nodes[0].Name), "create", "-f", "-")
	want := "the pod names its node, and has no volume yet for claim " + evil.Namespace + "/greedy: nothing would check the volume before it is mounted\n" +
		"  do this   leave spec.nodeName to the scheduler, or retry when the claim is bound; nothing was changed"
	evil.Refused(got, scene.Forbidden("pod", want, scene.Creating))
	if events := fmt.Sprint(evil.Events(west)); strings.Contains(events, "replicapool") {
		t.Errorf("the tenant is told of an image: %s", events)
	}
	victim.LetsGo(east, "data")
}
