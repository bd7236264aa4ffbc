//go:build cgo && (pacific || quincy || reef || squid || tentacle)

package goceph

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/ceph/go-ceph/rados"

	"github.com/cephferry/cephferry/pkg/ceph"
)

// blocklistCommand is the monitors' command. go-ceph's own function for it takes
// whole machines and networks only.
type blocklistCommand struct {
	Prefix string `json:"prefix"`
	Op     string `json:"blocklistop"`
	Addr   string `json:"addr"`
	// Expire must have a decimal point: the monitor refuses an integer.
	Expire json.RawMessage `json:"expire,omitempty"`
}

func (c *connection) Blocklist(ctx context.Context, addrs []string, lasting time.Duration) error {
	if err := c.blocklist(ctx, addrs, lasting); err != nil {
		return fmt.Errorf("put %s on the blocklist: %w", strings.Join(addrs, ", "), err)
	}
	return nil
}

func (c *connection) blocklist(ctx context.Context, addrs []string, lasting time.Duration) error {
	fence, err := c.planFence(ctx, addrs, lasting)
	if err != nil {
		return err
	}
	if err := c.eachAddr(ctx, fence.Renew, blocklistCommand{Op: "rm"}); err != nil {
		return err
	}
	if err := c.eachAddr(ctx, slices.Concat(fence.Renew, fence.Add), blocklistCommand{
		Op: "add", Expire: fmt.Appendf(nil, "%.1f", lasting.Seconds()),
	}); err != nil {
		return err
	}
	// Ceph itself may have made an entry meanwhile, which stays as it is.
	fence, err = c.planFence(ctx, addrs, lasting)
	if missing := slices.Concat(fence.Add, fence.Renew); err == nil && len(missing) != 0 {
		err = fmt.Errorf("somebody else changed the entries of %s meanwhile", strings.Join(missing, ", "))
	}
	return err
}

func (c *connection) planFence(ctx context.Context, addrs []string, lasting time.Duration) (ceph.Fence, error) {
	entries, err := c.Blocklisted(ctx)
	if err != nil {
		return ceph.Fence{}, err
	}
	return ceph.PlanFence(entries, addrs, time.Now(), lasting)
}

func (c *connection) Unblocklist(ctx context.Context, addrs []string) error {
	err := checkFences(addrs)
	if err == nil {
		err = c.eachAddr(ctx, addrs, blocklistCommand{Op: "rm"})
	}
	if err != nil {
		return fmt.Errorf("take %s off the blocklist: %w", strings.Join(addrs, ", "), err)
	}
	return nil
}

func checkFences(addrs []string) error {
	for _, addr := range addrs {
		if err := ceph.CheckFence(addr); err != nil {
			return err
		}
	}
	return nil
}

// eachAddr gives the command for all of addrs at once: the monitors put into one
// new map what arrives together, and make one a second.
func (c *connection) eachAddr(ctx context.Context, addrs []string, command blocklistCommand) error {
	command.Prefix = "osd blocklist"
	failures := make([]error, len(addrs))
	var wg sync.WaitGroup
	for i, addr := range addrs {
		wg.Go(func() {
			each := command
			each.Addr = addr
			if _, err := c.monCommand(ctx, each); err != nil {
				failures[i] = fmt.Errorf("%s: %w", addr, err)
			}
		})
	}
	wg.Wait()
	return errors.Join(failures...)
}

func (c *connection) Blocklisted(ctx context.Context) ([]ceph.BlocklistEntry, error) {
	answer, err := c.monCommand(ctx, map[string]string{"prefix": "osd blocklist ls", "format": "json"})
	if err != nil {
		return nil, fmt.Errorf("list the blocklist: %w", err)
	}
	entries, err := parseBlocklist(answer)
	if err != nil {
		return nil, fmt.Errorf("list the blocklist: %w", err)
	}
	return entries, nil
}

// MayFence asks for a fence of something that is no address, in the form that
// the profiles of the monitors allow: they look at the user's rights first.
func (c *connection) MayFence(ctx context.Context) error {
	_, err := c.monCommand(ctx, blocklistCommand{Prefix: "osd blocklist", Op: "add", Addr: "nobody/0"})
	switch {
	case errno(err) == einval:
		return nil
	case err == nil:
		err = errors.New("the monitors have taken what is no address")
	}
	return fmt.Errorf("ask for the right to change the blocklist: %w", err)
}

func (c *connection) monCommand(ctx context.Context, command any) ([]byte, error) {
	request, err := json.Marshal(command)
	if err != nil {
		return nil, err
	}
	return call(ctx, c.calls, func() ([]byte, error) {
		answer, status, err := c.rados.MonCommand(request)
		if err != nil {
			return nil, fmt.Errorf("%w: %q", translate(err, nil), status)
		}
		return answer, nil
	})
}

// Barrier learns the newest map, and lets the OSD that has the header learn it: an
// operation carries the version of its sender's map, and the OSD first gets at
// least that one.
func (c *connection) Barrier(ctx context.Context, spec ceph.ImageSpec) error {
	_, err := do(ctx, c, spec, func(ioctx *rados.IOContext) (struct{}, error) {
		if err := c.rados.WaitForLatestOSDMap(); err != nil {
			return struct{}{}, translate(err, nil)
		}
		err := seek(ioctx, spec, func(_, id string) error {
			_, err := ioctx.Stat(headerObject(id))
			return err
		})
		if errno(err) == enoent {
			return struct{}{}, c.absent(spec, ceph.ErrImageNotFound)
		}
		return struct{}{}, translate(err, nil)
	})
	if err != nil {
		return fmt.Errorf("wait for the blocklist at image %q: %w", spec, err)
	}
	return nil
}
