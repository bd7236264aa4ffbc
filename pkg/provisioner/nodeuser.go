package provisioner

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/pkg/storageclass"
)

const (
	// rememberYes is how long a user is not asked for again who has the right, and rememberNo
	// how long one is not who lacks it or cannot be asked for.
	rememberYes = 10 * time.Minute
	rememberNo  = retryInvalid
)

// nodeUsers remembers what the Ceph users of nodes may do. The zero value is ready.
type nodeUsers struct {
	mu    sync.Mutex
	known map[nodeUser]said
}

type nodeUser struct {
	clusterID string
	secret    corev1.SecretReference
}

// said is an answer, and when it was given.
type said struct {
	err error
	at  time.Time
}

// nodesMayFence returns a failure if the Ceph user by whom nodes map images of the class may
// not blocklist: whoever takes the lock of an image over from a client that is dead has to. An
// image that is made for such a class is fine until its first node dies. unknown says why the
// user could not be asked for, empty if it could. Nothing is put on the blocklist.
func (c *Claims) nodesMayFence(ctx context.Context, class storageclass.Class) (unknown string, err error) {
	if class.RBD == nil {
		return "", nil
	}
	user, now := nodeUser{class.ClusterID, class.NodeStageSecret}, c.Now()
	c.nodes.mu.Lock()
	answer, ok := c.nodes.known[user]
	c.nodes.mu.Unlock()
	lasts := rememberNo
	if answer.err == nil {
		lasts = rememberYes
	}
	if !ok || now.Sub(answer.at) >= lasts {
		answer = said{c.askNodeUser(ctx, user), now}
		c.nodes.mu.Lock()
		if c.nodes.known == nil {
			c.nodes.known = map[nodeUser]said{}
		}
		c.nodes.known[user] = answer
		c.nodes.mu.Unlock()
	}
	secret := user.secret.Namespace + "/" + user.secret.Name
	switch {
	case answer.err == nil:
		return "", nil
	case errors.Is(answer.err, ceph.ErrPermission):
		return "", failure{invalid, fmt.Sprintf("StorageClass %s: parameters[csi.storage.k8s.io/node-stage-secret-name]: the Ceph user of secret %s, with which nodes map the image, may not blocklist: "+
			"no other node could take over the image's lock from one that has died; give that user the capability mon 'profile rbd' (`ceph auth get client.<user>` shows what it has)", class.Name, secret)}
	default:
		return fmt.Sprintf("whether the Ceph user of secret %s, with which nodes map the image, may blocklist a node that has died is not known: %s", secret, explainSecret(answer.err).text), nil
	}
}

// askNodeUser asks Ceph as that user.
func (c *Claims) askNodeUser(ctx context.Context, user nodeUser) error {
	cluster, _, err := c.Storages.ClusterAs(ctx, user.clusterID, user.secret)
	if err != nil {
		return err
	}
	return cluster.MayFence(ctx)
}
