package csiconfig_test

import (
	"fmt"

	"github.com/cephferry/cephferry/pkg/csiconfig"
)

// What Rook writes into ceph-csi's ConfigMap says where each clusterID leads.
func ExampleParseConfig() {
	entries, err := csiconfig.ParseConfig([]byte(`[
		{"clusterID": "rook-ceph", "monitors": ["10.0.0.1:6789", "10.0.0.2:6789"]},
		{"clusterID": "tenant", "monitors": ["10.0.0.1:6789"], "rbd": {"radosNamespace": "shop"}}
	]`))
	if err != nil {
		fmt.Println(err)
	}
	for _, entry := range entries {
		fmt.Printf("%s: monitors %v, rados namespace %q\n", entry.ClusterID, entry.Monitors, entry.RadosNamespace)
	}
	// Output:
	// rook-ceph: monitors [10.0.0.1:6789 10.0.0.2:6789], rados namespace ""
	// tenant: monitors [10.0.0.1:6789], rados namespace "shop"
}

// Two clusters mean the same Ceph if they have a monitor in common.
func ExampleSameCeph() {
	east := []string{"10.0.0.1:6789", "10.0.0.2:6789"}
	fmt.Println(csiconfig.SameCeph(east, []string{"[v2:10.0.0.2:3300,v1:10.0.0.2:6789]"}))
	fmt.Println(csiconfig.SameCeph(east, []string{"10.9.9.9:6789"}))
	// Output:
	// true
	// false
}
