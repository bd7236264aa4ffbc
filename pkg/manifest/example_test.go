package manifest_test

import (
	"fmt"
	"os"

	"github.com/cephferry/cephferry/pkg/manifest"
)

// An edit changes the lines of its field. Comments, quotes and order stay as they are.
func ExampleTree_Edit() {
	const stream = `# Source: shop/templates/claim.yaml
kind: PersistentVolumeClaim
metadata: {name: data}
spec:
  resources: {requests: {storage: 10Gi}} # grows by hand
  storageClassName: 'ceph-block' # from values.yaml
---
kind: Service
metadata: {name: shop}
`
	var documents []manifest.Document
	for document := range manifest.Split([]byte(stream)) {
		documents = append(documents, document)
	}
	tree, err := documents[0].Parse()
	if err != nil {
		fmt.Println(err)
		return
	}
	documents[0], err = tree.Edit(manifest.Set(nil, []string{"spec", "storageClassName"}, ""))
	if err != nil {
		fmt.Println(err)
		return
	}
	if err := manifest.Write(os.Stdout, documents); err != nil {
		fmt.Println(err)
	}
	// Output:
	// # Source: shop/templates/claim.yaml
	// kind: PersistentVolumeClaim
	// metadata: {name: data}
	// spec:
	//   resources: {requests: {storage: 10Gi}} # grows by hand
	//   storageClassName: "" # from values.yaml
	// ---
	// kind: Service
	// metadata: {name: shop}
}

// A key that stands twice means different things to different readers.
func ExampleTree_Repeated() {
	tree, err := manifest.Document{Body: []byte("metadata: {name: a, name: b}\n")}.Parse()
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(tree.Repeated("metadata"))
	// Output:
	// line 1: key "name" stands twice in one mapping
}
