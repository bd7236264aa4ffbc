package sdk_test

import (
	"fmt"
	"log"

	helm3 "helm.sh/helm/v3/pkg/action"
	chart3 "helm.sh/helm/v3/pkg/chart"
	helm4 "helm.sh/helm/v4/pkg/action"
	common4 "helm.sh/helm/v4/pkg/chart/common"
	chart4 "helm.sh/helm/v4/pkg/chart/v2"
	release4 "helm.sh/helm/v4/pkg/release/v1"

	"github.com/cephferry/cephferry/pkg/helmrender"
)

// claim is the template of a chart.
const claim = `apiVersion: v1
kind: PersistentVolumeClaim
metadata:
  name: {{ .Release.Name }}-data
  annotations:
    cephferry.io/migratable: "true"
spec:
  accessModes: [ReadWriteOnce]
  storageClassName: ceph-block
  resources:
    requests:
      storage: 8Gi
`

func Example_helm3() {
	chart := &chart3.Chart{
		Metadata:  &chart3.Metadata{APIVersion: "v2", Name: "db", Version: "1.0.0"},
		Templates: []*chart3.File{{Name: "templates/claim.yaml", Data: []byte(claim)}},
	}
	install := helm3.NewInstall(&helm3.Configuration{})
	install.ReleaseName, install.Namespace = "db", "shop"
	install.DryRun, install.ClientOnly = true, true // needs no cluster
	install.PostRenderer = helmrender.ForCluster()

	release, err := install.Run(chart, nil)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Print(release.Manifest)
	// Output:
	// ---
	// # Source: db/templates/claim.yaml
	// apiVersion: v1
	// kind: PersistentVolumeClaim
	// metadata:
	//   name: db-data
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

func Example_helm4() {
	chart := &chart4.Chart{
		Metadata:  &chart4.Metadata{APIVersion: "v2", Name: "db", Version: "1.0.0"},
		Templates: []*common4.File{{Name: "templates/claim.yaml", Data: []byte(claim)}},
	}
	install := helm4.NewInstall(&helm4.Configuration{})
	install.ReleaseName, install.Namespace = "db", "shop"
	install.DryRunStrategy = helm4.DryRunClient // needs no cluster
	install.PostRenderer = helmrender.ForCluster()

	release, err := install.Run(chart, nil)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Print(release.(*release4.Release).Manifest)
	// Output:
	// ---
	// # Source: db/templates/claim.yaml
	// apiVersion: v1
	// kind: PersistentVolumeClaim
	// metadata:
	//   name: db-data
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
