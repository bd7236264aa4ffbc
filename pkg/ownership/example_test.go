package ownership_test

import (
	"encoding/json"
	"fmt"
	"regexp"
	"time"

	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/pkg/ownership"
)

// The record of one image, from the first pod in east to the day on which east has
// burnt down. The token, which is random, is left out, and the history up to the end.
func Example() {
	east, west := ceph.Party{UID: "7a", Name: "east"}, ceph.Party{UID: "c2", Name: "west"}
	now := time.Date(2026, 11, 22, 14, 3, 0, 0, time.UTC)
	e1 := ceph.Node{Name: "e1", Addresses: []string{"10.0.1.12"}, BootID: "b4", UID: "11", MachineID: "m7", SystemUUID: "s7"}
	asks := func(who ceph.Party, pod string) ownership.Request {
		return ownership.Request{Cluster: who, Namespace: "shop", Claim: "data", Pod: pod, Now: now}
	}
	starts := func(who ceph.Party, pod string) ownership.Request {
		request := asks(who, pod)
		request.Unbound = []string{pod}
		return request
	}

	record := ceph.Record{ClaimSize: 10 << 30, Revision: 1}
	show("made with the claim", record)

	record, _ = ownership.Acquire(record, starts(east, "f8"))
	show("east admits a pod", record)

	binding := asks(east, "")
	binding.Nodes = []ceph.Node{e1}
	record, _ = ownership.Acquire(record, binding)
	show("east binds it to node e1", record)

	_, err := ownership.Acquire(record, asks(west, "09"))
	fmt.Printf("west asks\n  %v\n", err)

	record, _, _ = ownership.Keep(record, asks(east, ""), ownership.Seen{
		Pods: []string{"f8"}, Attached: []ceph.Node{e1}, Watchers: []string{"10.0.1.12:0/33"}, Explained: []string{"10.0.1.12:0/33"},
	})
	show("the pod runs", record)

	record, _, _ = ownership.Keep(record, asks(east, ""), ownership.Seen{Present: []ownership.Present{{Node: e1}}})
	show("east has scaled it down", record)

	record, _ = ownership.Acquire(record, starts(west, "09"))
	record, _, _ = ownership.Keep(record, asks(west, ""), ownership.Seen{Pods: []string{"09"}})
	record, _, _ = ownership.Keep(record, asks(west, ""), ownership.Seen{})
	record, _ = ownership.Acquire(record, starts(east, "6b"))
	show("to west and back", record)

	ann := ownership.Taker{Cluster: west, By: "ann", Now: now}
	record, _ = ownership.BeginFence(record, ann)
	show("ann begins a failover to west", record)

	record, _ = ownership.FinishFence(record, record, ann, "shop", "data", []string{"10.0.1.12:0/33"})
	show("every holder is on the blocklist", record)

	fmt.Println("and its history")
	for _, change := range record.History {
		line, _ := json.Marshal(change)
		fmt.Printf("  %s\n", line)
	}

	// Output:
	// made with the claim
	//   {"version":3,"claimSize":10737418240,"growTo":0,"exclusive":false,"state":"free","epoch":0,"admissions":0}
	// east admits a pod
	//   {"version":3,"claimSize":10737418240,"growTo":0,"exclusive":false,"state":"held","epoch":1,"admissions":1,"owner":{"uid":"7a","name":"east","namespace":"shop","claim":"data","since":"2026-11-22T14:03:00Z"},"pending":["f8"],"unbound":["f8"]}
	// east binds it to node e1
	//   {"version":3,"claimSize":10737418240,"growTo":0,"exclusive":false,"state":"held","epoch":1,"admissions":2,"owner":{"uid":"7a","name":"east","namespace":"shop","claim":"data","since":"2026-11-22T14:03:00Z","nodes":[{"name":"e1","addresses":["10.0.1.12"],"bootID":"b4","uid":"11","machineID":"m7","systemUUID":"s7"}]},"pending":["f8"],"unbound":["f8"]}
	// west asks
	//   another cluster owns the image: cluster east, claim shop/data, since 2026-11-22T14:03:00Z
	// the pod runs
	//   {"version":3,"claimSize":10737418240,"growTo":0,"exclusive":false,"state":"held","epoch":1,"admissions":2,"owner":{"uid":"7a","name":"east","namespace":"shop","claim":"data","since":"2026-11-22T14:03:00Z","nodes":[{"name":"e1","addresses":["10.0.1.12"],"bootID":"b4","uid":"11","machineID":"m7","systemUUID":"s7","clients":["10.0.1.12:0/33"]}]}}
	// east has scaled it down
	//   {"version":3,"claimSize":10737418240,"growTo":0,"exclusive":false,"state":"free","epoch":1,"admissions":2}
	// to west and back
	//   {"version":3,"claimSize":10737418240,"growTo":0,"exclusive":false,"state":"held","epoch":3,"admissions":4,"owner":{"uid":"7a","name":"east","namespace":"shop","claim":"data","since":"2026-11-22T14:03:00Z"},"pending":["6b"],"unbound":["6b"]}
	// ann begins a failover to west
	//   {"version":3,"claimSize":10737418240,"growTo":0,"exclusive":false,"state":"fencing","epoch":3,"admissions":4,"owner":{"uid":"7a","name":"east","namespace":"shop","claim":"data","since":"2026-11-22T14:03:00Z"},"takeover":{"uid":"c2","name":"west","by":"ann","since":"2026-11-22T14:03:00Z"},"pending":["6b"],"unbound":["6b"]}
	// every holder is on the blocklist
	//   {"version":3,"claimSize":10737418240,"growTo":0,"exclusive":false,"state":"held","epoch":4,"admissions":5,"owner":{"uid":"c2","name":"west","namespace":"shop","claim":"data","since":"2026-11-22T14:03:00Z"},"pending":["awaited"]}
	// and its history
	//   {"at":"2026-11-22T14:03:00Z","event":"acquired","uid":"7a","name":"east"}
	//   {"at":"2026-11-22T14:03:00Z","event":"released","uid":"7a","name":"east"}
	//   {"at":"2026-11-22T14:03:00Z","event":"acquired","uid":"c2","name":"west"}
	//   {"at":"2026-11-22T14:03:00Z","event":"released","uid":"c2","name":"west"}
	//   {"at":"2026-11-22T14:03:00Z","event":"acquired","uid":"7a","name":"east"}
	//   {"at":"2026-11-22T14:03:00Z","event":"fence-begun","uid":"c2","name":"west","by":"ann","from":{"uid":"7a","name":"east"}}
	//   {"at":"2026-11-22T14:03:00Z","event":"taken-over","uid":"c2","name":"west","by":"ann","from":{"uid":"7a","name":"east"},"fenced":["10.0.1.12:0/33"]}
}

var leftOut = regexp.MustCompile(`"token":"[^"]*",|,"history":\[.*\]`)

func show(what string, record ceph.Record) {
	fmt.Printf("%s\n  %s\n", what, leftOut.ReplaceAll(record.Encode(), nil))
}
