package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/cephferry/cephferry/pkg/dynamicpv"
	"github.com/cephferry/cephferry/pkg/kubeyaml"
)

func newExport(o *options) *cobra.Command {
	return &cobra.Command{
		Use:   "export NAMESPACE/CLAIM...",
		Short: "Print volumes that ceph-csi provisioned, for import in another cluster",
		Long: `Prints the PersistentVolumes of claims that ceph-csi provisioned, for import in another cluster
that shares the Ceph. It first sets their reclaim policy to Retain here, so that neither cluster
deletes the other's image, and adds the annotation that guards them.`,
		Example: `  kubectl --context east cephferry export shop/data > volume.yaml
  kubectl --context west cephferry import volume.yaml`,
		RunE: func(command *cobra.Command, args []string) error {
			if len(args) == 0 {
				return errors.New("name claims: NAMESPACE/CLAIM")
			}
			return o.export(command.Context(), args)
		},
	}
}

func (o *options) export(ctx context.Context, args []string) error {
	c, err := o.connect(ctx)
	if err != nil {
		return err
	}
	defer c.storages.Close()
	api, err := c.writer()
	if err != nil {
		return err
	}
	claims, err := claimArgs(args, c.namespace)
	if err != nil {
		return err
	}
	// Nothing is changed before all of them can be exported.
	var pvs, copies []*corev1.PersistentVolume
	for _, claim := range claims {
		pv, err := volumeOf(ctx, api, claim)
		if err != nil {
			return fmt.Errorf("claim %s: %w", claim, err)
		}
		copied, err := dynamicpv.Export(pv)
		if err != nil {
			return fmt.Errorf("claim %s: %w", claim, err)
		}
		pvs, copies = append(pvs, pv), append(copies, copied)
	}
	for i, pv := range pvs {
		before := pv.DeepCopy()
		if dynamicpv.Share(pv) {
			if err := api.Patch(ctx, pv, client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})); err != nil {
				return fmt.Errorf("guard PersistentVolume %s and set its policy to Retain: %w", pv.Name, err)
			}
			fmt.Fprintf(o.std.stderr, "claim %s: PersistentVolume %s is guarded, and has the policy Retain\n", claims[i], pv.Name)
		}
		document, err := kubeyaml.Of(copies[i])
		if err != nil {
			return err
		}
		fmt.Fprintf(o.std.stdout, "---\n%s", document)
	}
	return nil
}

// volumeOf is the volume that a claim is bound to.
func volumeOf(ctx context.Context, api client.Reader, claim claim) (*corev1.PersistentVolume, error) {
	var pvc corev1.PersistentVolumeClaim
	if err := api.Get(ctx, client.ObjectKey{Namespace: claim.namespace, Name: claim.name}, &pvc); err != nil {
		return nil, err
	}
	if pvc.Spec.VolumeName == "" {
		return nil, errors.New("it has no volume yet")
	}
	var pv corev1.PersistentVolume
	if err := api.Get(ctx, client.ObjectKey{Name: pvc.Spec.VolumeName}, &pv); err != nil {
		return nil, err
	}
	if ref := pv.Spec.ClaimRef; ref == nil || ref.UID != pvc.UID {
		return nil, fmt.Errorf("PersistentVolume %s is bound to another claim", pv.Name)
	}
	return &pv, nil
}

// writer is the API server for a command that changes something.
func (c *connection) writer() (client.Client, error) {
	api, ok := c.API.(client.Client)
	if !ok {
		return nil, fmt.Errorf("%T cannot write", c.API)
	}
	return api, nil
}
