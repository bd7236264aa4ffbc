// Package helmrender is the post-renderer for Go programs that embed Helm: operators,
// Terraform providers, deployment tools. Such a program has no command line on which to
// name a post-renderer, and often runs in an image without a shell or other programs.
//
//	install := action.NewInstall(configuration)
//	install.PostRenderer = helmrender.ForCluster()
//	release, err := install.RunWithContext(ctx, chart, values)
//
// Set it for every upgrade as well: Helm does not remember it. A rollback applies the
// manifest that was stored and needs nothing. Helm 4's interface has the same method,
// so one [Renderer] serves both.
//
// What Helm does not hand to a post-renderer stays as it is, unchecked:
//
//   - Hooks, with Helm 3 and with Helm 4's PostRenderStrategyNoHooks. With the other
//     strategies of Helm 4 a migratable claim in a hook is an error, because Helm
//     may delete the claim.
//   - The folder crds of a chart, unless Install.IncludeCRDs is set. It has no claims.
//   - With Helm 3, all files that Install.OutputDir writes: the post-renderer then gets
//     nothing, and cannot tell this from a chart without manifests. Leave OutputDir
//     empty and write the release's Manifest.
//
// This package imports only Helm's interface. The example that installs a chart with both
// Helms is therefore in examples/sdk, a module of its own.
package helmrender
