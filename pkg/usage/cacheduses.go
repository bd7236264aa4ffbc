package usage

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/cephferry/cephferry/pkg/volumes"
)

// CachedUses are what the cache shows to be used, of all volumes at once.
type CachedUses struct {
	// attached are PersistentVolumes, reported names in status.volumesInUse.
	attached map[string]bool
	reported map[corev1.UniqueVolumeName]bool
	// mounted are claims of pods, told those with the condition, as <namespace>/<name>.
	mounted, told map[string]bool
}

// CachedUses reads the cache once.
func (g *Gatherer) CachedUses(ctx context.Context) (CachedUses, error) {
	all := CachedUses{map[string]bool{}, map[corev1.UniqueVolumeName]bool{}, map[string]bool{}, map[string]bool{}}
	state, err := wholeState(ctx, g.Cached())
	if err != nil {
		return CachedUses{}, err
	}
	for i := range state.attachments {
		all.attached[VolumeOf(&state.attachments[i])] = true
	}
	for i := range state.nodes {
		for _, name := range state.nodes[i].Status.VolumesInUse {
			all.reported[name] = true
		}
	}
	var pods corev1.PodList
	if err := g.Cache.List(ctx, &pods, client.UnsafeDisableDeepCopy); err != nil {
		return CachedUses{}, fmt.Errorf("list pods: %w", err)
	}
	for i := range pods.Items {
		pod := &pods.Items[i]
		if IsFinished(pod) {
			continue
		}
		for _, claim := range volumes.ClaimsOfPod(pod.Name, &pod.Spec) {
			all.mounted[pod.Namespace+"/"+claim] = true
		}
	}
	var claims corev1.PersistentVolumeClaimList
	if err := g.Cache.List(ctx, &claims, client.UnsafeDisableDeepCopy); err != nil {
		return CachedUses{}, fmt.Errorf("list PersistentVolumeClaims: %w", err)
	}
	for i := range claims.Items {
		claim := &claims.Items[i]
		for _, condition := range claim.Status.Conditions {
			if string(condition.Type) == OwnedElsewhere {
				all.told[claim.Namespace+"/"+claim.Name] = true
			}
		}
	}
	return all, nil
}

// Told reports whether the volume's claim says that its image is owned elsewhere.
func (u CachedUses) Told(volume volumes.Volume) bool {
	return u.told[volume.Namespace+"/"+volume.Claim]
}

// Has reports whether a volume may be used. Whether another one leads to its image, the other
// one's answer says.
func (u CachedUses) Has(volume volumes.Volume) bool {
	return u.attached[volume.PV.Name] || u.reported[volumes.InUse(volume.PV.Spec.CSI)] || u.mounted[volume.Namespace+"/"+volume.Claim]
}
