//! Asks a CRI engine (containerd, CRI-O) for pods and containers over its socket, as kubelet does.
//! kubelet itself is not in Debian.
//!
//! Prints the id of what it made, or the engine's error on stderr. The answer of `exec` is the
//! command's stdout.

mod requests;

use std::collections::HashMap;
use std::io::Write as _;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use k8s_cri::v1::runtime_service_client::RuntimeServiceClient;
use k8s_cri::v1::{
    ExecSyncRequest, ListContainersRequest, ListPodSandboxRequest, PodSandboxStatusRequest,
    RemoveContainerRequest, RemovePodSandboxRequest, StartContainerRequest, StopContainerRequest,
    StopPodSandboxRequest,
};
use tonic::Status;
use tonic::transport::{Channel, Endpoint};

/// How long a container may take to stop, in seconds.
const STOP_TIMEOUT: i64 = 5;
/// How long a command in a container may take, in seconds.
const EXEC_TIMEOUT: i64 = 60;

#[derive(Parser)]
struct Arguments {
    /// The socket of the engine
    #[arg(long, default_value = "/run/containerd/containerd.sock")]
    socket: String,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// RunPodSandbox
    Pod {
        /// Use the network of the host
        #[arg(long)]
        host_network: bool,
        handler: String,
        namespace: String,
        name: String,
        /// KEY=VALUE
        annotations: Vec<String>,
    },
    /// CreateContainer
    Create { sandbox: String, name: String, image: String, command: Vec<String> },
    /// StartContainer
    Start { container: String },
    /// ExecSync
    Exec {
        container: String,
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        command: Vec<String>,
    },
    /// StopContainer and RemoveContainer
    Remove { container: String },
    /// StopPodSandbox
    StopPod { sandbox: String },
    /// StopPodSandbox and RemovePodSandbox
    RemovePod { sandbox: String },
    /// Print each sandbox and each container with its state: 0 is ready or created, 1 is not ready
    /// or running, 2 is exited
    List,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match run(Arguments::parse()).await {
        Ok(text) => {
            // A closed pipe is not an error.
            let _ = std::io::stdout().write_all(text.as_bytes());
            ExitCode::SUCCESS
        }
        Err(status) => {
            let _ = writeln!(std::io::stderr(), "{}", status.message());
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: Arguments) -> Result<String, Status> {
    let unavailable = |error: tonic::transport::Error| Status::unavailable(error.to_string());
    let endpoint = Endpoint::try_from(format!("unix://{}", arguments.socket));
    let channel = endpoint.map_err(unavailable)?.connect().await.map_err(unavailable)?;
    let mut engine = RuntimeServiceClient::new(channel);
    match arguments.command {
        Command::Pod { host_network, handler, namespace, name, annotations } => {
            let annotations = pairs(&annotations)?;
            let config = requests::sandbox(&namespace, &name, annotations, host_network);
            let made = engine.run_pod_sandbox(requests::run(config, handler)).await?;
            Ok(made.into_inner().pod_sandbox_id + "\n")
        }
        Command::Create { sandbox, name, image, command } => {
            create(&mut engine, sandbox, &name, &image, command).await
        }
        Command::Start { container: container_id } => {
            engine.start_container(StartContainerRequest { container_id }).await?;
            Ok(String::new())
        }
        Command::Exec { container, command } => exec(&mut engine, container, command).await,
        Command::Remove { container: container_id } => {
            let stop =
                StopContainerRequest { container_id: container_id.clone(), timeout: STOP_TIMEOUT };
            engine.stop_container(stop).await?;
            engine.remove_container(RemoveContainerRequest { container_id }).await?;
            Ok(String::new())
        }
        Command::StopPod { sandbox: pod_sandbox_id } => {
            engine.stop_pod_sandbox(StopPodSandboxRequest { pod_sandbox_id }).await?;
            Ok(String::new())
        }
        Command::RemovePod { sandbox: pod_sandbox_id } => {
            let stop = StopPodSandboxRequest { pod_sandbox_id: pod_sandbox_id.clone() };
            engine.stop_pod_sandbox(stop).await?;
            engine.remove_pod_sandbox(RemovePodSandboxRequest { pod_sandbox_id }).await?;
            Ok(String::new())
        }
        Command::List => list(&mut engine).await,
    }
}

/// kubelet sends the config of the sandbox with each container. Here it is made again from what the
/// engine knows of the sandbox.
async fn create(
    engine: &mut RuntimeServiceClient<Channel>,
    sandbox: String,
    name: &str,
    image: &str,
    command: Vec<String>,
) -> Result<String, Status> {
    let ask = PodSandboxStatusRequest { pod_sandbox_id: sandbox.clone(), verbose: false };
    let status = engine.pod_sandbox_status(ask).await?.into_inner().status;
    let status = status.ok_or_else(|| Status::not_found("the sandbox has no status"))?;
    let metadata = status.metadata.unwrap_or_default();
    let config = requests::sandbox(&metadata.namespace, &metadata.name, status.annotations, false);
    let request = requests::create(sandbox, config, name, image, command);
    let made = engine.create_container(request).await?;
    Ok(made.into_inner().container_id + "\n")
}

async fn exec(
    engine: &mut RuntimeServiceClient<Channel>,
    container_id: String,
    cmd: Vec<String>,
) -> Result<String, Status> {
    let request = ExecSyncRequest { container_id, cmd, timeout: EXEC_TIMEOUT };
    let answer = engine.exec_sync(request).await?.into_inner();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    match answer.exit_code {
        0 => Ok(text(&answer.stdout)),
        code => Err(Status::aborted(format!("exit code {code}: {}", text(&answer.stderr)))),
    }
}

async fn list(engine: &mut RuntimeServiceClient<Channel>) -> Result<String, Status> {
    let sandboxes = engine.list_pod_sandbox(ListPodSandboxRequest::default()).await?.into_inner();
    let containers = engine.list_containers(ListContainersRequest::default()).await?.into_inner();
    let sandbox = sandboxes.items.iter().map(|one| format!("sandbox {} {}\n", one.id, one.state));
    let all = containers.containers.iter();
    Ok(sandbox.chain(all.map(|one| format!("container {} {}\n", one.id, one.state))).collect())
}

fn pairs(words: &[String]) -> Result<HashMap<String, String>, Status> {
    let pair = |word: &String| {
        let (key, value) = word.split_once('=')?;
        Some((key.to_owned(), value.to_owned()))
    };
    let pairs: Option<_> = words.iter().map(pair).collect();
    pairs.ok_or_else(|| Status::invalid_argument("an annotation is KEY=VALUE"))
}
