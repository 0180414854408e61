package temporaldev

import (
	"errors"
	"fmt"

	"go.temporal.io/server/common/authorization"
	"go.temporal.io/server/common/cluster"
	"go.temporal.io/server/common/config"
	"go.temporal.io/server/common/dynamicconfig"
	"go.temporal.io/server/common/membership/static"
	"go.temporal.io/server/common/metrics"
	"go.temporal.io/server/common/persistence/sql/sqlplugin/sqlite"
	"go.temporal.io/server/common/primitives"
	"go.temporal.io/server/temporal"
)

const clusterName = "active"

// settings is the smallest configuration with which the services run: one shard, one store, no archive, no metrics, no
// profiler.
func settings(p ports, store *config.SQL) *config.Config {
	archive := config.ArchivalNamespaceDefaults{
		History:    config.HistoryArchivalNamespaceDefaults{State: config.ArchivalDisabled},
		Visibility: config.VisibilityArchivalNamespaceDefaults{State: config.ArchivalDisabled},
	}
	return &config.Config{
		Persistence: config.Persistence{
			DefaultStore:     sqlite.PluginName,
			VisibilityStore:  sqlite.PluginName,
			NumHistoryShards: 1,
			DataStores:       map[string]config.DataStore{sqlite.PluginName: {SQL: store}},
		},
		ClusterMetadata: &cluster.Config{
			FailoverVersionIncrement: 10,
			MasterClusterName:        clusterName,
			CurrentClusterName:       clusterName,
			ClusterInformation: map[string]cluster.ClusterInformation{
				clusterName: {Enabled: true, InitialFailoverVersion: 1, RPCAddress: address(p.frontend)},
			},
		},
		DCRedirectionPolicy: config.DCRedirectionPolicy{Policy: "noop"},
		Services: map[string]config.Service{
			string(primitives.FrontendService): service(p.frontend),
			string(primitives.HistoryService):  service(p.history),
			string(primitives.MatchingService): service(p.matching),
			string(primitives.WorkerService):   service(p.worker),
		},
		Archival: config.Archival{
			History:    config.HistoryArchival{State: config.ArchivalDisabled},
			Visibility: config.VisibilityArchival{State: config.ArchivalDisabled},
		},
		NamespaceDefaults: config.NamespaceDefaults{Archival: archive},
		PublicClient:      config.PublicClient{HostPort: address(p.frontend)},
	}
}

func service(port int) config.Service {
	return config.Service{RPC: config.RPC{GRPCPort: port, BindOnIP: host}}
}

// launch starts the services. Fatal errors while they are built are returned; later ones panic.
func launch(cfg *config.Config, logger serverLog) (server temporal.Server, err error) {
	defer func() {
		switch cause := recover().(type) {
		case nil:
		case fatal:
			server, err = nil, errors.New(string(cause))
		default:
			panic(cause)
		}
	}()
	server, err = temporal.NewServer(
		temporal.WithConfig(cfg),
		temporal.ForServices(temporal.DefaultServices),
		temporal.WithStaticHosts(hosts(cfg.Services)),
		temporal.WithLogger(logger),
		temporal.WithNamespaceLogger(logger),
		temporal.WithAuthorizer(authorization.NewNoopAuthorizer()),
		temporal.WithClaimMapper(func(*config.Config) authorization.ClaimMapper { return authorization.NewNoopClaimMapper() }),
		temporal.WithCustomMetricsHandler(metrics.NoopMetricsHandler),
		temporal.WithDynamicConfigClient(dynamicconfig.StaticClient{
			// One partition: with few pollers, a task must not wait in a partition that nobody polls.
			dynamicconfig.MatchingNumTaskqueueReadPartitions.Key():  1,
			dynamicconfig.MatchingNumTaskqueueWritePartitions.Key(): 1,
			// By default the single shard looks for new tasks 20 times a second, which would delay a single chat.
			dynamicconfig.TransferProcessorMaxPollRPS.Key(): 1000,
			dynamicconfig.TimerProcessorMaxPollRPS.Key():    1000,
			// No check with temporal.io for newer versions.
			dynamicconfig.EnableServerVersionCheck.Key(): false,
			// No housekeeping, whose workers the server would not stop.
			dynamicconfig.EnableParentClosePolicyWorker.Key(): false,
			dynamicconfig.HistoryScannerEnabled.Key():         false,
			dynamicconfig.TaskQueueScannerEnabled.Key():       false,
		}),
	)
	if err != nil {
		return nil, err
	}
	if err := server.Start(); err != nil {
		return nil, fmt.Errorf("start the services: %w", errors.Join(err, server.Stop()))
	}
	return server, nil
}

// hosts names each service's only host, so that no discovery is needed.
func hosts(services map[string]config.Service) map[primitives.ServiceName]static.Hosts {
	found := make(map[primitives.ServiceName]static.Hosts, len(services))
	for name, s := range services {
		found[primitives.ServiceName(name)] = static.SingleLocalHost(address(s.RPC.GRPCPort))
	}
	return found
}
