// Package chart proves on real API servers what the chart charts/cephferry
// promises: which requests its webhook configuration sends to the webhook and
// which never need it, what its policies refuse without any webhook, that pods
// without guarded volumes are not affected when the webhook is dead, and that Helm 3
// and Helm 4 install, upgrade and remove it.
//
// The tests have the build tag lab. The module render below tests without servers what
// the templates render.
package chart
