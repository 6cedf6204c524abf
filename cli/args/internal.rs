//! `sandbox internal …`: how the program starts itself.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Subcommand};

#[derive(Debug, Subcommand)]
pub(crate) enum InternalCommand {
    /// Supervise one microVM; reads its specification from standard input
    Supervise,
    /// Be the VMM or the server of a shared folder
    Helper(InternalHelperArgs),
    /// Be the proxy of one sandbox
    Proxy(InternalProxyArgs),
}

#[derive(Debug, Args)]
pub(crate) struct InternalHelperArgs {
    pub(crate) role: OsString,
}

#[derive(Debug, Args)]
pub(crate) struct InternalProxyArgs {
    #[arg(long)]
    pub(crate) name: String,
    #[arg(long)]
    pub(crate) config: PathBuf,
    #[arg(long)]
    pub(crate) ca_dir: PathBuf,
    #[arg(long)]
    pub(crate) lists: Option<PathBuf>,
    #[arg(long)]
    pub(crate) log: PathBuf,
    #[arg(long)]
    pub(crate) admin: PathBuf,
    #[arg(long)]
    pub(crate) dns: Option<SocketAddr>,
    /// The host's end of the guest's data port
    #[arg(long)]
    pub(crate) channel: PathBuf,
}
