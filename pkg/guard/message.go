package guard

import (
	"fmt"
	"strings"

	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/pkg/volumes"
)

// refusal is the text of a refused volume, the same at every endpoint:
//
//	volume shop/data-db-0 (image replicapool/shop.data-db-0) is in use by another cluster
//	  held by   10.0.1.12 (client.4153), not a node of west
//	  do this   scale the workload down in that cluster, then retry here; nothing was changed
func refusal(cluster string, volume volumes.Volume, image ceph.ImageSpec, foreign []Foreign) string {
	var text strings.Builder
	fmt.Fprintf(&text, "%s is in use by another cluster\n", describe(volume, image))
	for _, holder := range foreign {
		why := strings.ReplaceAll(holder.Why, "this cluster", cluster)
		fmt.Fprintf(&text, "  held by   %s (%s), %s\n", host(holder.Addr), holder.Client, why)
	}
	text.WriteString("  do this   scale the workload down in that cluster, then retry here; nothing was changed")
	return text.String()
}

// unknown is the text for a volume about which nothing can be found out.
func unknown(what string, err error) string {
	advice := ceph.Advice(err)
	if advice == "" {
		advice = "see to that, then retry here"
	}
	return fmt.Sprintf("cannot know whether %s is in use by another cluster: %v\n  do this   %s; nothing was changed", what, err, advice)
}

// unguarded is the warning for a volume on CephFS.
func unguarded(namespace string, volume volumes.Unguarded) string {
	if volume.SingleWriter {
		return fmt.Sprintf("volume %s/%s is on CephFS and for a single writer, and nothing keeps a second cluster from writing to it; it is not guarded", namespace, volume.Claim)
	}
	return fmt.Sprintf("volume %s/%s is on CephFS, which several clusters may use at once; it is not guarded", namespace, volume.Claim)
}

func describe(volume volumes.Volume, image ceph.ImageSpec) string {
	return fmt.Sprintf("volume %s/%s (image %s)", volume.Namespace, volume.Claim, image)
}

// host is the address as people look for it, without port and nonce.
func host(addr string) string {
	if address, err := ceph.ParseAddress(addr); err == nil {
		return address.String()
	}
	return addr
}
