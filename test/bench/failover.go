package main

import (
	"context"
	"fmt"
	"io"
	"time"
)

// fenced measures failovers: a node of east dies with the volume, which a person then
// takes from east. The fence cuts the node off for good, so each time it is another one.
func (h *handover) fenced(ctx context.Context, out io.Writer) error {
	program, err := h.tools.Find("kubectl-cephferry")
	if err != nil {
		return err
	}
	var claims []string
	on := map[string]string{}
	for _, node := range h.east.Nodes {
		claim := "lost-" + node.Name
		claims = append(claims, claim)
		on[claim] = node.Name
	}
	if err := h.prepare(ctx, claims, on); err != nil {
		return err
	}
	yardstick := &contender{name: "a new ReplicaSet makes its pod", once: h.unguarded}
	taken := &contender{name: "failover, to its end"}
	woken := &contender{name: "end of failover, to the pod"}
	whole := &contender{name: "failover, to the pod"}
	for i, claim := range claims {
		if err := yardstick.turn(ctx); err != nil {
			return err
		}
		appeared, err := h.west.appears(ctx, claim)
		if err != nil {
			return err
		}
		if err := h.east.Nodes[i].Kill(); err != nil {
			return err
		}
		took, err := command("", program, "failover", "--direct", "--kubeconfig", h.west.Kubeconfig, "--cluster-name", h.west.Name,
			"--ceph-conf", h.lab.Ceph.ConfFile, "--from", h.east.Name, "--yes", namespace+"/"+claim)(ctx)
		if err != nil {
			return err
		}
		end := time.Now()
		at, err := appeared()
		if err != nil {
			return fmt.Errorf("%s: %w", claim, err)
		}
		taken.times = append(taken.times, took)
		woken.times = append(woken.times, at.Sub(end))
		whole.times = append(whole.times, took+at.Sub(end))
	}
	spans(out, "Failover from a node that has just died", yardstick, []*contender{yardstick, taken, woken, whole})
	return nil
}
