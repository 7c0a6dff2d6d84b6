// Command etcd is the real etcd server. Called as
//
//	etcd snapshot-restore SNAPSHOT DATA_DIR PEER_URL
//
// it instead restores a snapshot of a live server into a fresh data directory,
// the way `etcdutl snapshot restore` does. The revision is deliberately not
// bumped: the tests want the resource versions to go back, as they do after a
// careless restore of a production cluster.
package main

import (
	"fmt"
	"os"

	"go.etcd.io/etcd/etcdutl/v3/snapshot"
	"go.etcd.io/etcd/server/v3/etcdmain"
	"go.uber.org/zap"
)

// memberName is etcd's own default; the rig starts etcd without --name.
const memberName = "default"

func main() {
	if len(os.Args) > 1 && os.Args[1] == "snapshot-restore" {
		if err := restore(os.Args[2:]); err != nil {
			fmt.Fprintln(os.Stderr, "snapshot-restore:", err)
			os.Exit(1)
		}
		return
	}
	etcdmain.Main(os.Args)
}

func restore(arguments []string) error {
	if len(arguments) != 3 {
		return fmt.Errorf("expected SNAPSHOT DATA_DIR PEER_URL, got %d arguments", len(arguments))
	}
	logger, err := zap.NewProduction()
	if err != nil {
		return err
	}
	return snapshot.NewV3(logger).Restore(snapshot.RestoreConfig{
		SnapshotPath:        arguments[0],
		Name:                memberName,
		OutputDataDir:       arguments[1],
		PeerURLs:            []string{arguments[2]},
		InitialCluster:      memberName + "=" + arguments[2],
		InitialClusterToken: "etcd-cluster",
	})
}
