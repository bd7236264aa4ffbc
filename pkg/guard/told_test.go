package guard_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/pkg/ceph/cephtest"
)

// TestARefusalSaysWhatTheOwnerTells: which pod has the image, what is missing there, and the way
// out. Only while a pod there needs it, it is to be scaled down.
func TestARefusalSaysWhatTheOwnerTells(t *testing.T) {
	const (
		scale  = "\n  if it lives     scale the workload of claim shop/data down in east, then retry here; nothing was changed"
		wait   = "\n  if it lives     no pod of east needs it any more, so wait until it is released; nothing was changed"
		dead   = "\n  if it is dead   kubectl cephferry failover shop/data"
		leader = "\n  missing         perhaps nobody in cluster east releases the image, or its clock is behind this cluster's: by that clock, its webhook has written nothing, since 2026-11-22 11:00:00 UTC" +
			"\n  way out         check the pods of cephferry there; while none of them runs, kubectl cephferry release shop/data in east gives the image up"
		missing = "\n  missing         in cluster east, VolumeAttachment csi-1 of node e1 is being deleted and does not go away, since 2026-11-22 11:30:00 UTC" +
			"\n  way out         in east: look at ceph-csi"
	)
	running := ceph.NotedPod{Name: "shop/db-0", Node: "e1"}
	ending := ceph.NotedPod{Name: "shop/db-0", Node: "e1", Ending: true}
	stuck := []ceph.Missing{{
		Kind: "AttachmentNotGone", Subject: "VolumeAttachment/csi-1", What: "VolumeAttachment csi-1 of node e1 is being deleted and does not go away",
		Since: noon.Add(-30 * time.Minute), WayOut: "look at ceph-csi",
	}}
	for name, test := range map[string]struct {
		note    *ceph.Note
		written time.Time
		// silent: what is told cannot be read.
		silent bool
		want   string
	}{
		"a pod runs there":                    {note: &ceph.Note{Owner: east.UID, Pods: []ceph.NotedPod{running}}, written: noon, want: scale + dead + "\n  pod there       shop/db-0 on node e1"},
		"a pod ends there":                    {note: &ceph.Note{Owner: east.UID, Pods: []ceph.NotedPod{ending}}, want: wait + dead + "\n  pod there       shop/db-0 on node e1, which is being deleted"},
		"no pod is there any more":            {note: &ceph.Note{Owner: east.UID}, want: wait + dead},
		"something is missing":                {note: &ceph.Note{Owner: east.UID, Missing: stuck}, want: wait + dead + missing},
		"nobody writes there any more":        {written: noon.Add(-time.Hour), want: scale + dead + leader},
		"both":                                {note: &ceph.Note{Owner: east.UID, Missing: stuck}, written: noon.Add(-time.Hour), want: wait + dead + leader + missing},
		"an owner that tells nothing":         {want: scale + dead},
		"a note of another owner":             {note: &ceph.Note{Owner: "u-3", Missing: stuck}, want: scale + dead},
		"a note of an epoch before":           {note: &ceph.Note{Owner: east.UID, Epoch: 7, Pods: []ceph.NotedPod{running}}, want: scale + dead},
		"what is told cannot be read in time": {note: &ceph.Note{Owner: east.UID, Missing: stuck}, silent: true, want: scale + dead},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, []string{"shop.data"}, append(pair("data"), deployment("data"))...)
			w.write("shop.data", owned(east))
			image, err := w.client.Image(t.Context(), ceph.ImageSpec{Pool: "replicapool", Name: "shop.data"})
			if err != nil {
				t.Fatal(err)
			}
			if test.note != nil {
				test.note.Epoch += w.record("shop.data").Epoch
				if err := w.client.PutNote(t.Context(), image, *test.note); err != nil {
					t.Fatal(err)
				}
			}
			if !test.written.IsZero() {
				if _, err := w.client.PutRegistration(t.Context(), "replicapool", "", ceph.Registration{Party: east, Written: test.written}); err != nil {
					t.Fatal(err)
				}
			}
			if test.silent {
				w.ceph.Intercept(func(ctx context.Context, call cephtest.Call, proceed func() error) error {
					if call.Method == "Note" {
						<-ctx.Done()
						return ctx.Err()
					}
					return proceed()
				})
			}
			want := denied("volume shop/data (image replicapool/shop.data) is in use by another cluster\n" +
				"  held by         cluster east, claim shop/data, since 2026-11-22 12:00 UTC" + test.want)
			same(t, want, w.ask("pod", withUID(t, "p", "data")))
			if test.silent {
				return
			}
			same(t, want, w.ask("scale", scaled(t, deploymentKind, "deployments", 0, 1)))
			found, _, err := w.endpoints.Finder.Guarded(volume("data"))
			if err != nil {
				t.Fatal(err)
			}
			missing := w.endpoints.Missing(t.Context(), found)
			if got := strings.Count(test.want, "\n  missing "); len(missing) != got {
				t.Errorf("%d things are missing, want %d: %v", len(missing), got, missing)
			}
		})
	}
}
