package cephtest

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/cephferry/cephferry/pkg/ceph"
)

func (c *client) Keys(ctx context.Context, pool, namespace string) ([]ceph.Key, error) {
	spec := ceph.ImageSpec{Pool: pool, Namespace: namespace}
	return do(ctx, c, Call{Method: "Keys", Image: spec}, Observer, func() ([]ceph.Key, error) {
		space, err := c.ceph.namespace(spec)
		if err != nil {
			return nil, err
		}
		var keys []ceph.Key
		for _, name := range slices.Sorted(maps.Keys(space.listed)) {
			keys = append(keys, ceph.Key{Name: name, UID: space.listed[name]})
		}
		return keys, nil
	})
}

func (c *client) ClaimKey(ctx context.Context, pool, namespace string, cluster ceph.Party) (string, error) {
	spec := ceph.ImageSpec{Pool: pool, Namespace: namespace}
	return do(ctx, c, Call{Method: "ClaimKey", Image: spec}, Operator, func() (string, error) {
		space, err := c.ceph.namespace(spec)
		if err != nil {
			return "", err
		}
		if cluster.UID == "" {
			return "", fmt.Errorf("cluster %q: no uid", cluster.Name)
		}
		for _, name := range slices.Sorted(maps.Keys(space.keys)) {
			space.listed[name] = space.keys[name]
			if space.keys[name] == cluster.UID {
				return name, nil
			}
		}
		if err := ceph.CheckKey(cluster.Name); err != nil {
			return "", err
		}
		if uid, taken := space.keys[cluster.Name]; taken {
			return "", &ceph.KeyTakenError{Key: cluster.Name, UID: uid}
		}
		if c.ceph.pools[pool].full {
			return "", ceph.ErrPoolFull
		}
		space.keys[cluster.Name], space.listed[cluster.Name] = cluster.UID, cluster.UID
		return cluster.Name, nil
	})
}

// HalfClaimKey is a claim of that cluster that died: it has listed the key.
func (c *Ceph) HalfClaimKey(pool, namespace, key, uid string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.pools[pool].namespaces[namespace].listed[key] = uid
}

func (c *client) Self(ctx context.Context) (string, error) {
	return do(ctx, c, Call{Method: "Self"}, Impostor, func() (string, error) { return c.self, nil })
}
