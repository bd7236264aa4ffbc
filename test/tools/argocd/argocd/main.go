// Command argocd does with manifests what Argo CD's application controller does, using Argo CD's
// own package:
//
//	argocd sync KUBECONFIG NAMESPACE [KIND/POINTER...] < MANIFESTS
//
// It first writes a line for each object of the manifests: whether it is Synced or OutOfSync,
// its health, and the difference. Then, if something is out of sync, it synchronizes as selfHeal
// does, with client-side apply. The KIND/POINTERs are ignoreDifferences, and are respected. With
// `diff` instead of `sync` it only writes the lines.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/go-logr/logr"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/argoproj/argo-cd/gitops-engine/pkg/cache"
	"github.com/argoproj/argo-cd/gitops-engine/pkg/diff"
	"github.com/argoproj/argo-cd/gitops-engine/pkg/engine"
	"github.com/argoproj/argo-cd/gitops-engine/pkg/health"
	"github.com/argoproj/argo-cd/gitops-engine/pkg/sync"
	"github.com/argoproj/argo-cd/gitops-engine/pkg/utils/kube"
)

func main() {
	if err := run(context.Background(), os.Args[1:], os.Stdin, os.Stdout); err != nil {
		fmt.Fprintf(os.Stderr, "argocd: %v\n", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, manifests io.Reader, out io.Writer) error {
	if len(args) < 3 || args[0] != "sync" && args[0] != "diff" {
		return errors.New("usage: argocd sync|diff KUBECONFIG NAMESPACE [KIND/POINTER...] < MANIFESTS")
	}
	config, err := clientcmd.BuildConfigFromFlags("", args[1])
	if err != nil {
		return err
	}
	config.QPS = -1
	data, err := io.ReadAll(manifests)
	if err != nil {
		return err
	}
	targets, err := kube.SplitYAML(data)
	if err != nil {
		return err
	}
	clusterCache := cache.NewClusterCache(config, cache.SetPopulateResourceInfoHandler(func(*unstructured.Unstructured, bool) (any, bool) { return nil, true }))
	theEngine := engine.NewEngine(config, clusterCache, engine.WithLogr(logr.Discard()))
	stop, err := theEngine.Run()
	if err != nil {
		return err
	}
	defer stop()
	for _, target := range targets {
		namespaced, err := clusterCache.IsNamespaced(target.GroupVersionKind().GroupKind())
		if err != nil {
			return err
		}
		if namespaced && target.GetNamespace() == "" {
			target.SetNamespace(args[2])
		}
	}
	managed := func(*cache.Resource) bool { return false } // nothing is pruned, so only what is named is managed
	live, err := clusterCache.GetManagedLiveObjs(targets, managed)
	if err != nil {
		return err
	}
	reconciled := sync.Reconcile(targets, live, args[2], clusterCache)
	ignored := ignore(args[3:])
	found, err := diff.DiffArray(reconciled.Target, reconciled.Live, diff.WithNormalizer(ignored), diff.WithLogr(logr.Discard()))
	if err != nil {
		return err
	}
	for i, target := range reconciled.Target {
		if err := describe(out, target, reconciled.Live[i], found.Diffs[i]); err != nil {
			return err
		}
	}
	if args[0] == "diff" || !found.Modified {
		return nil
	}
	// RespectIgnoreDifferences: what is ignored stays as it is.
	for i := range reconciled.Target {
		if reconciled.Live[i] != nil {
			ignored.keep(reconciled.Target[i], reconciled.Live[i])
		}
	}
	results, err := theEngine.Sync(ctx, reconciled.Target, managed, "main", args[2], sync.WithOperationSettings(false, false, false, false))
	for _, result := range results {
		fmt.Fprintf(out, "sync %s/%s %s %s\n", result.ResourceKey.Kind, result.ResourceKey.Name, result.Status, result.Message)
	}
	return err
}

// describe writes what Argo CD shows of an object.
func describe(out io.Writer, target, live *unstructured.Unstructured, found diff.DiffResult) error {
	state, status := "Synced", health.HealthStatusMissing
	if found.Modified || live == nil {
		state = "OutOfSync"
	}
	if live != nil {
		of, err := health.GetResourceHealth(live, nil)
		if err != nil {
			return err
		}
		status = health.HealthStatusHealthy // of what has none
		if of != nil {
			status = of.Status
		}
	}
	fmt.Fprintf(out, "%s/%s %s %s", target.GetKind(), target.GetName(), state, status)
	if live != nil && found.Modified {
		fmt.Fprintf(out, " is %s would be %s", found.NormalizedLive, found.PredictedLive)
	}
	_, err := fmt.Fprintln(out)
	return err
}

// ignore are ignoreDifferences by KIND/POINTER, where a pointer has no list in it.
type ignore []string

// Normalize takes what is ignored out of an object, for the comparison.
func (i ignore) Normalize(object *unstructured.Unstructured) error {
	for _, fields := range i.of(object) {
		unstructured.RemoveNestedField(object.Object, fields...)
	}
	return nil
}

// keep gives the target what is ignored as it is in the cluster.
func (i ignore) keep(target, live *unstructured.Unstructured) {
	for _, fields := range i.of(target) {
		value, found, err := unstructured.NestedFieldCopy(live.Object, fields...)
		if err == nil && found {
			_ = unstructured.SetNestedField(target.Object, value, fields...)
		} else {
			unstructured.RemoveNestedField(target.Object, fields...)
		}
	}
}

func (i ignore) of(object *unstructured.Unstructured) (all [][]string) {
	for _, one := range i {
		kind, pointer, _ := strings.Cut(one, "/")
		if kind != object.GetKind() {
			continue
		}
		var fields []string
		for _, field := range strings.Split(pointer, "/") {
			fields = append(fields, strings.NewReplacer("~1", "/", "~0", "~").Replace(field))
		}
		all = append(all, fields)
	}
	return all
}
