package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	admissionv1 "k8s.io/api/admission/v1"
	corev1 "k8s.io/api/core/v1"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/pkg/failover"
	"github.com/cephferry/cephferry/pkg/guard"
	"github.com/cephferry/cephferry/pkg/idle"
	"github.com/cephferry/cephferry/pkg/imagename"
	"github.com/cephferry/cephferry/pkg/ownership"
	"github.com/cephferry/cephferry/pkg/staticpv"
	"github.com/cephferry/cephferry/pkg/storageclass"
	"github.com/cephferry/cephferry/pkg/usage"
	"github.com/cephferry/cephferry/pkg/volumes"
	"github.com/cephferry/cephferry/test/lab"
)

var (
	eastern = ceph.Party{UID: "u-east", Name: lab.East}
	western = ceph.Party{UID: "u-west", Name: lab.West}
)

// bearer is an image, keyed or not, with what west does to it. Only what is measured goes
// through noted.
type bearer struct {
	claim   string
	keyed   bool
	storage ceph.Cluster
	noted   calls
	spec    ceph.ImageSpec
	pods    *guard.Endpoints
	review  admission.Request
	// lost is how often the image was east's.
	lost int
	// clock tells how long something takes that is measured.
	clock func(func() error) (time.Duration, error)
}

// stopwatch is a bearer's clock.
func stopwatch(act func() error) (time.Duration, error) {
	begin := time.Now()
	err := act()
	return time.Since(begin), err
}

// make makes the image and its pair, and lets a pod start on it.
func (b *bearer) make(ctx context.Context) error {
	b.spec = image(b.claim)
	if b.keyed {
		b.spec.Key = western.Name
	}
	made, err := b.storage.CreateImage(ctx, b.spec, ceph.Layout{Size: 1 << 30, Features: []string{"exclusive-lock", "layering"}})
	if err != nil {
		return err
	}
	record := ceph.Record{State: ceph.Free, ClaimSize: 1 << 30, Exclusive: true, Keyed: b.keyed, Private: b.keyed}
	if _, err := b.storage.PutRecord(ctx, made, record); err != nil {
		return err
	}
	pv := staticpv.Plan{
		Namespace: namespace, Names: staticpv.Names{Claim: b.claim, Image: b.spec.Name},
		Class: storageclass.Class{
			Driver: driver, ClusterID: "rook-ceph", RBD: &storageclass.RBD{Pool: lab.Pool, FSType: "ext4"},
			NodeStageSecret: corev1.SecretReference{Name: "rook-csi-rbd-node", Namespace: "rook-ceph"},
		},
		AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce},
	}.PV(staticpv.Made{Size: size, Exclusive: true, Private: b.keyed, Key: b.spec.Key})
	builder := fake.NewClientBuilder().WithScheme(clientgoscheme.Scheme).WithObjects(pv, newClaim(b.claim, pv.Name))
	for _, index := range usage.Indexes() {
		builder.WithIndex(index.Object, index.Name, index.Of)
	}
	api := builder.Build()
	b.pods = &guard.Endpoints{
		Guard: &guard.Guard{
			Self: western, Storages: b, Now: time.Now,
			Finder: volumes.Finder{Cache: api, API: api, Scope: volumes.ScopeMigratable},
			Usage:  &usage.Gatherer{Cache: api, API: api},
		},
		Decoder: admission.NewDecoder(clientgoscheme.Scheme),
		Label:   func(context.Context, string) error { return nil },
	}
	asked, err := podReview(b.claim)
	if err != nil {
		return err
	}
	var review admissionv1.AdmissionReview
	if err := json.Unmarshal(asked.body, &review); err != nil {
		return err
	}
	b.review.AdmissionRequest = *review.Request
	_, err = b.admit(ctx)
	return err
}

// Cluster implements guard.Storages.
func (b *bearer) Cluster(context.Context, string) (guard.Ceph, string, error) {
	return b.noted, b.spec.Namespace, nil
}

func (b *bearer) admit(ctx context.Context) (time.Duration, error) {
	elapsed, err := b.ask(ctx, guard.Allowed)
	if err != nil {
		return 0, err
	}
	return elapsed, b.is(ctx, b.spec.Own(), western)
}

// ask asks about a pod, and wants that answer.
func (b *bearer) ask(ctx context.Context, want guard.Result) (time.Duration, error) {
	return b.clock(func() error {
		answer, _ := b.pods.Pod(ctx, b.review)
		if answer.Result != want || len(answer.Volumes) != 1 {
			return fmt.Errorf("wrong answer: %+v", answer)
		}
		return nil
	})
}

// is checks whose the image is, by its name and by its record.
func (b *bearer) is(ctx context.Context, name string, owner ceph.Party) error {
	found, record, err := b.read(ctx)
	if err != nil {
		return err
	}
	if found.Named != name || (record.State == ceph.Held) != (owner != ceph.Party{}) || record.Owner != nil && record.Owner.Party != owner {
		return fmt.Errorf("image %s has the name %s, and its record is %+v", b.spec, found.Named, record)
	}
	return nil
}

func (b *bearer) read(ctx context.Context) (ceph.Image, ceph.Record, error) {
	found, err := b.storage.Image(ctx, b.spec)
	if err != nil {
		return ceph.Image{}, ceph.Record{}, err
	}
	record, err := b.storage.Record(ctx, found)
	return found, record, err
}

// release is what the leader does when it has looked.
func (b *bearer) release(ctx context.Context) (time.Duration, error) {
	found, record, err := b.read(ctx)
	if err != nil {
		return 0, err
	}
	next, err := ownership.Release(record, western, "", time.Now())
	if err != nil {
		return 0, err
	}
	look := idle.Look{Image: found, Record: record, Next: next, Step: ownership.LetGo}
	elapsed, err := b.clock(func() error {
		if _, err := new(idle.Prover).Carry(ctx, b.noted, look); err != nil {
			return err
		}
		return imagename.GiveBack(ctx, b.noted, found)
	})
	return elapsed, errors.Join(err, b.is(ctx, b.spec.Name, ceph.Party{}))
}

// takeOver takes the image from a node of east, each time another one, that is known to
// have had it mapped.
func (b *bearer) takeOver(ctx context.Context) (time.Duration, error) {
	situation, err := b.lose(ctx)
	if err != nil {
		return 0, err
	}
	return b.regain(ctx, situation)
}

func (b *bearer) regain(ctx context.Context, situation failover.Situation) (time.Duration, error) {
	plan, err := failover.Decide(situation, failover.Wish{
		Taker: ownership.Taker{Cluster: western, By: "bench", Now: situation.Now}, From: eastern.Name, Namespace: namespace, Claim: b.claim,
	})
	if err != nil {
		return 0, err
	}
	if plan.Exact != b.keyed {
		return 0, fmt.Errorf("the plan is %+v", plan)
	}
	elapsed, err := b.clock(func() error { return failover.Take(ctx, b.noted, plan, nil, func(failover.Step) {}) })
	return elapsed, errors.Join(err, b.is(ctx, b.spec.Own(), western))
}

// refuse asks about a pod while the image is east's.
func (b *bearer) refuse(ctx context.Context) (time.Duration, error) {
	situation, err := b.lose(ctx)
	if err != nil {
		return 0, err
	}
	elapsed, err := b.ask(ctx, guard.Denied)
	if err != nil {
		return 0, err
	}
	clock := b.clock
	defer func() { b.clock = clock }()
	b.clock = stopwatch
	_, err = b.regain(ctx, situation)
	return elapsed, err
}

// lose makes the image east's.
func (b *bearer) lose(ctx context.Context) (failover.Situation, error) {
	found, record, err := b.read(ctx)
	if err != nil {
		return failover.Situation{}, err
	}
	b.lost++
	address := fmt.Sprintf("192.0.2.%d", b.lost)
	if b.keyed {
		address = fmt.Sprintf("198.51.100.%d", b.lost)
	}
	node := ceph.Node{Name: "lost", Addresses: []string{address}, Clients: []string{address + ":0/7"}}
	record.Owner = &ceph.Owner{Party: eastern, Namespace: namespace, Claim: b.claim, Nodes: []ceph.Node{node}}
	record.State, record.Pending, record.Unbound, record.Fenced = ceph.Held, nil, nil, nil
	if record, err = b.storage.PutRecord(ctx, found, record); err != nil {
		return failover.Situation{}, err
	}
	situation := failover.Situation{Image: b.spec, Record: record, Now: time.Now()}
	if !b.keyed {
		return situation, nil
	}
	if _, err := b.storage.RenameImage(ctx, found, ceph.JoinName(found.Name, eastern.Name), found.Named); err != nil {
		return failover.Situation{}, err
	}
	if situation.Keys, err = b.storage.Keys(ctx, lab.Pool, ""); err == nil {
		situation.Self, err = b.storage.Self(ctx)
	}
	return situation, err
}
