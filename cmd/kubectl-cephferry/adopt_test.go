package main

import (
	"bytes"
	"context"
	"strings"
	"testing"
	"time"

	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/cephferry/cephferry/pkg/adopt"
)

// TestAdoptCommand: one answer for all claims, and nothing before it.
func TestAdoptCommand(t *testing.T) {
	namespace := &corev1.Namespace{}
	namespace.Name = "shop"
	done := pairOf("shop.data", dataClaim("migratable", nil))
	done[0].(*corev1.PersistentVolumeClaim).Status.Phase = corev1.ClaimBound
	old := dynamic()
	pvc, pv := old[0].(*corev1.PersistentVolumeClaim), old[1].(*corev1.PersistentVolume)
	pvc.Name, pvc.Spec.VolumeName, pvc.Status.Phase = "old", "pvc-1", corev1.ClaimBound
	pv.Name, pv.Spec.ClaimRef.Name, pv.Status.Phase, pv.Spec.StorageClassName = "pvc-1", "old", corev1.VolumeBound, "block"
	pv.Spec.CSI.VolumeAttributes["imageName"], pv.Spec.CSI.VolumeAttributes["imageFeatures"] = "csi-vol-24862838-240d-4215-9183-abfc0e9e4002", "exclusive-lock,layering"
	block := withProvisionerSecret(blockClass("block", "rook-ceph"))

	for name, test := range map[string]struct {
		claims []string
		stdin  string
		code   int
		out    string
		err    string
	}{
		"all is done":             {claims: []string{"data"}, out: "claim shop/data: is a migratable pair\n"},
		"the answer is no":        {claims: []string{"old"}, stdin: "no\n", code: exitRefused, out: "claim shop/old: PersistentVolume pvc-1, csi-vol-", err: "that is not its name; nothing was changed"},
		"several, and one answer": {claims: []string{"old", "data"}, stdin: "shop/old\n", code: exitRefused, out: "is a migratable pair", err: "that is not its name; nothing was changed"},
		"one is refused":          {claims: []string{"old", "none"}, code: exitRefused, err: "nothing was changed\nclaim shop/none does not exist"},
	} {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			changed := false
			api := shows(t, interceptor.Funcs{Create: func(ctx context.Context, api client.WithWatch, object client.Object, options ...client.CreateOption) error {
				if review, ok := object.(*authorizationv1.SelfSubjectAccessReview); ok {
					review.Status.Allowed = true
					return nil
				}
				changed = true
				return api.Create(ctx, object, options...)
			}, Patch: func(ctx context.Context, api client.WithWatch, object client.Object, patch client.Patch, options ...client.PatchOption) error {
				changed = true
				return api.Patch(ctx, object, patch, options...)
			}}, append(append(append([]client.Object{}, done...), old...), namespace, block)...)
			a := &adoptOptions{options: &options{std: streams{stdin: strings.NewReader(test.stdin), stdout: &out, stderr: &bytes.Buffer{}}}}
			var claims []claim
			for _, name := range test.claims {
				claims = append(claims, claim{"shop", name})
			}
			err := a.adopt(t.Context(), &adopt.Adopter{
				API: api, Files: adopt.Files{Dir: t.TempDir(), Cluster: "east"}, Now: time.Now, Limit: time.Minute, Say: func(string) {},
				Granted: func(*corev1.Namespace, string) bool { return false },
				May: func(ctx context.Context, verb, resource, namespace string) (bool, error) {
					return may(ctx, api, verb, resource, namespace)
				},
			}, claims)
			wantEnd(t, err, test.code, test.err)
			if !strings.Contains(out.String(), test.out) || changed {
				t.Errorf("%s\nchanged: %t", out.String(), changed)
			}
		})
	}
}
