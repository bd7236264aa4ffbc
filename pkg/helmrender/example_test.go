package helmrender_test

import (
	"bytes"
	"fmt"
	"log"

	helm "helm.sh/helm/v3/pkg/postrender"

	"github.com/cephferry/cephferry/pkg/helmrender"
)

// Does what Helm does with a post-renderer. examples/sdk has whole installations.
func ExampleForCluster() {
	var renderer helm.PostRenderer = helmrender.ForCluster()
	rendered, err := renderer.Run(bytes.NewBufferString(claim))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Print(rendered)
	// Output:
	// ---
	// # Source: db/templates/claim.yaml
	// apiVersion: v1
	// kind: PersistentVolumeClaim
	// metadata:
	//   name: data
	//   annotations:
	//     cephferry.io/class: "ceph-block"
	//     cephferry.io/migratable: "true"
	// spec:
	//   accessModes: [ReadWriteOnce]
	//   storageClassName: ""
	//   resources:
	//     requests:
	//       storage: 8Gi
}
