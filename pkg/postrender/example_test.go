package postrender_test

import (
	"fmt"
	"os"
	"strings"

	"github.com/cephferry/cephferry/pkg/postrender"
)

const claimOfAChart = `apiVersion: v1
kind: PersistentVolumeClaim
metadata:
  name: data
  annotations:
    cephferry.io/migratable: "true"
spec:
  storageClassName: ceph-block # the chart's
  accessModes: [ReadWriteOnce]
  resources: {requests: {storage: 10Gi}}
`

// A claim that is to be migratable gets no volume of ceph-csi's: the provisioner in the cluster
// makes its pair.
func ExampleForCluster() {
	notes, err := postrender.ForCluster(strings.NewReader(claimOfAChart), os.Stdout)
	if err != nil {
		fmt.Println(err)
	}
	for _, note := range notes {
		fmt.Println("note:", note)
	}
	// Output:
	// apiVersion: v1
	// kind: PersistentVolumeClaim
	// metadata:
	//   name: data
	//   annotations:
	//     cephferry.io/class: "ceph-block"
	//     cephferry.io/migratable: "true"
	// spec:
	//   storageClassName: "" # the chart's
	//   accessModes: [ReadWriteOnce]
	//   resources: {requests: {storage: 10Gi}}
}

// Which claims of a chart are chosen, and why.
func ExampleList() {
	const stream = claimOfAChart + `---
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: db}
spec:
  replicas: 2
  volumeClaimTemplates:
  - metadata: {name: data}
    spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}
`
	selector, err := postrender.ParseSelector("StatefulSet/db:data")
	if err != nil {
		fmt.Println(err)
		return
	}
	all, _, err := postrender.List(strings.NewReader(stream), "shop", selector)
	if err != nil {
		fmt.Println(err)
	}
	for _, listed := range all {
		fmt.Printf("%s of %s: %s\n", listed.Claim, listed.Object, listed.Why())
	}
	// Output:
	// data of PersistentVolumeClaim shop/data: annotation
	// data-db-0 of StatefulSet shop/db: --select "StatefulSet/db:data"
	// data-db-1 of StatefulSet shop/db: --select "StatefulSet/db:data"
}
