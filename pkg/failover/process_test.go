package failover

import (
	"context"
	"testing"

	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/pkg/ceph/cephtest"
)

// process is a run of the command, as far as Ceph sees it. Interceptors ask it as well, so it
// does not end with the test's context.
type process struct {
	*testing.T
	ceph    *cephtest.Ceph
	storage ceph.Cluster
}

// dial is a new process of the command.
func (p *process) dial() {
	p.Helper()
	var err error
	if p.storage, err = p.ceph.Dial(context.Background(), cephtest.Provisioner); err != nil {
		p.Fatal(err)
	}
}

func (p *process) imageOf(spec ceph.ImageSpec) ceph.Image {
	p.Helper()
	image, err := p.storage.Image(context.Background(), spec)
	if err != nil {
		p.Fatal(err)
	}
	return image
}

// put overwrites the record of an image.
func (p *process) put(spec ceph.ImageSpec, record ceph.Record) {
	p.Helper()
	p.ceph.WriteRecord(p.imageOf(spec), record.Encode())
}

func (p *process) recordOf(spec ceph.ImageSpec) ceph.Record {
	p.Helper()
	record, err := p.storage.Record(context.Background(), p.imageOf(spec))
	if err != nil {
		p.Fatal(err)
	}
	return record
}
