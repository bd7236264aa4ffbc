package missing_test

import (
	"fmt"
	"time"

	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/pkg/missing"
	"github.com/cephferry/cephferry/pkg/usage"
)

// East is to give an image up. Its pod is gone, and a VolumeAttachment is not.
func ExampleOf() {
	east := ceph.Party{UID: "7a", Name: "east"}
	noon := time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC)
	facts := missing.Facts{
		Self: east, Claim: "shop/data", Now: noon.Add(time.Minute),
		Record: ceph.Record{State: ceph.Held, Owner: &ceph.Owner{Party: east, Namespace: "shop", Claim: "data"}},
		Evidence: usage.Evidence{Uses: []usage.Use{
			{Node: "e1", Object: "csi-4f", Begun: noon, Ends: noon},
		}},
	}
	for _, m := range missing.Of(facts) {
		fmt.Printf("%s since %s\n%s\nway out: %s\n", m.Kind, m.Since.Format(time.TimeOnly), m.What, m.WayOut)
	}
	// Output:
	// AttachmentNotGone since 12:00:00
	// VolumeAttachment csi-4f of node e1 is being deleted and does not go away
	// way out: the node has unmounted the volume, so ceph-csi's attacher does not answer: look at its provisioner pods, container csi-attacher; the attachment of a PersistentVolume with controllerPublishSecretRef never goes away
}
