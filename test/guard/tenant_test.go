//go:build lab

package guard

import (
	"fmt"
	"strings"
	"testing"
)

// A tenant who may make claims and pods in his own namespace, and nothing else, names
// another one's volume in a claim. His pods can never run. They take nothing, in none of 25
// tries, and no answer tells him of the volume.
func TestATenantTakesNothingByNamingAnothersVolume(t *testing.T) {
	t.Parallel()
	victim, evil := newShop(t), newShop(t)
	victim.volume("data", east, west)
	evil.volume("own", west) // so that his namespace is guarded
	evil.create(west, evil.pvc("greedy", "volumeName: "+evil.namespace+".greedy", "volumeName: "+victim.namespace+".data"))
	taken := 0
	for round := range 25 {
		evil.create(west, pod(fmt.Sprint("x", round), "greedy", `nodeSelector: {example.com/no: such-node}`))
		if record := victim.record("data"); record.Owner != nil {
			taken++
		}
	}
	if taken != 0 {
		t.Fatalf("taken after %d of 25 pods: %s", taken, victim.record("data").Encode())
	}
	victim.holds(east, "data")
	evil.create(west, pod("x", "greedy"))
	got := evil.run(west, pod("on-node", "greedy", "nodeName: "+west.Nodes[0].Name), "create", "-f", "-")
	want := "the pod names its node, and has no volume yet for claim " + evil.namespace + "/greedy: nobody would look at the volume before it is mounted\n" +
		"  do this   leave spec.nodeName to the scheduler, or retry when the claim is bound; nothing was changed"
	evil.refused(got, forbidden("pod", want, creating))
	if events := fmt.Sprint(evil.events(west)); strings.Contains(events, "replicapool") {
		t.Errorf("the tenant is told of an image: %s", events)
	}
	victim.letsGo(east, "data")
}
