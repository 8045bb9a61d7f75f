//! The links: a veth pair for each instance, `crn` and the beginning of its id on the node, `eth0` inside.

use std::fs::File;
use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::AsRawFd;
use std::path::Path;

use futures::TryStreamExt;
use rtnetlink::packet_route::address::{AddressAttribute, AddressMessage};
use rtnetlink::packet_route::link::{InfoData, InfoKind, InfoVeth, LinkAttribute, LinkMessage};
use rtnetlink::packet_route::route::{RouteAttribute, RouteMessage};
use rtnetlink::{Error, Handle, LinkMessageBuilder, LinkUnspec, LinkVeth, RouteMessageBuilder};

use super::addresses::Subnet;
use super::{netlink, write_sysctl};
use crate::error::NodeError;

/// How names of links on the node begin. The rules match on it, so nothing else may be called so.
pub(super) const PREFIX: &str = "crn";

/// What an instance calls its way out.
const INSIDE: &str = "eth0";

/// The MTU when the node has no way out itself.
const ETHERNET_MTU: u32 = 1500;

/// The name of an instance's link on the node. Names of links have at most 15 characters.
pub(super) fn name_of(id: &str) -> String {
    format!("{PREFIX}{:.12}", id)
}

/// Every IPv4 address of the node with the name of its link.
pub(super) fn addresses() -> Result<Vec<(String, Ipv4Addr)>, NodeError> {
    netlink("list the addresses of the node", |handle| async move {
        let links: Vec<LinkMessage> = handle.link().get().execute().try_collect().await?;
        let addresses: Vec<AddressMessage> = handle.address().get().execute().try_collect().await?;
        let link_of = |index| links.iter().find(|link| link.header.index == index).and_then(name);
        let pair = |message: &AddressMessage| Some((link_of(message.header.index)?, ipv4(message)?));
        Ok(addresses.iter().filter_map(pair).collect())
    })
}

/// Makes the link of an instance, or finds it, and sets both ends up.
pub(super) fn ensure(id: &str, file: &Path, subnet: Subnet) -> Result<(), NodeError> {
    let name = name_of(id);
    let namespace = File::open(file).map_err(NodeError::io(format!("open the namespace of {id}")))?;
    netlink(&format!("make the link {name}"), |handle| async move {
        if find(&handle, &name).await?.is_none() {
            let mtu = uplink_mtu(&handle).await?;
            handle.link().add(veth(&name, id, mtu, &namespace)).execute().await?;
        }
        let index = find(&handle, &name).await?.ok_or(Error::RequestFailed)?.header.index;
        // Only IPv4 goes through here: without the other, nothing has to hold for it.
        let _ = write_sysctl(&format!("net/ipv6/conf/{name}/disable_ipv6"), "1");
        address(&handle, index, subnet.gateway()).await?;
        handle.link().set(LinkUnspec::new_with_index(index).up().build()).execute().await
    })?;
    sys::netns::run_in(file, || set_up_inside(subnet).map_err(std::io::Error::other))
        .map_err(NodeError::io(format!("set up the network inside {id}")))
}

/// Deletes a link; its other end goes with it. Bears repeating.
pub(super) fn delete(name: &str) -> Result<(), NodeError> {
    netlink(&format!("delete the link {name}"), |handle| async move {
        match find(&handle, name).await? {
            Some(link) => handle.link().del(link.header.index).execute().await,
            None => Ok(()),
        }
    })
}

/// Both ends in one request, so that a crash leaves both or none; the far end is made where it belongs.
fn veth(name: &str, id: &str, mtu: u32, namespace: &File) -> LinkMessage {
    let inside = LinkMessageBuilder::<LinkUnspec>::new().name(INSIDE).mtu(mtu).setns_by_fd(namespace.as_raw_fd()).build();
    LinkMessageBuilder::<LinkVeth>::new_with_info_kind(InfoKind::Veth)
        .name(name)
        .alias(format!("crannog {id}"))
        .mtu(mtu)
        .set_info_data(InfoData::Veth(InfoVeth::Peer(inside)))
        .build()
}

fn set_up_inside(subnet: Subnet) -> Result<(), NodeError> {
    // Root inside has no power over a namespace that the node made, so what it may expect is set here: low ports can be
    // bound and ping works for everybody.
    for (path, value) in [
        ("net/ipv6/conf/eth0/disable_ipv6", "1"),
        ("net/ipv4/ip_unprivileged_port_start", "0"),
        ("net/ipv4/ping_group_range", "0 4294967294"),
    ] {
        if let Err(error) = write_sysctl(path, value) {
            tracing::warn!(path, %error, "a setting of the instance's network could not be written");
        }
    }
    netlink("set up the links inside", |handle| async move {
        let up = |index| LinkUnspec::new_with_index(index).up().build();
        let loopback = find(&handle, "lo").await?.ok_or(Error::RequestFailed)?.header.index;
        handle.link().set(up(loopback)).execute().await?;
        let index = find(&handle, INSIDE).await?.ok_or(Error::RequestFailed)?.header.index;
        address(&handle, index, subnet.instance()).await?;
        handle.link().set(up(index)).execute().await?;
        let route = RouteMessageBuilder::<Ipv4Addr>::new().gateway(subnet.gateway()).output_interface(index).build();
        handle.route().add(route).replace().execute().await
    })
}

async fn address(handle: &Handle, index: u32, address: Ipv4Addr) -> Result<(), Error> {
    handle.address().add(index, IpAddr::V4(address), Subnet::PREFIX).replace().execute().await
}

async fn find(handle: &Handle, name: &str) -> Result<Option<LinkMessage>, Error> {
    let found = handle.link().get().match_name(name).execute().try_next().await;
    match found {
        Err(Error::NetlinkError(error)) if error.raw_code() == -nix::libc::ENODEV => Ok(None),
        other => other,
    }
}

/// The MTU of the link that the node's default route goes through: what is larger would be lost behind a tunnel.
async fn uplink_mtu(handle: &Handle) -> Result<u32, Error> {
    let all = RouteMessageBuilder::<Ipv4Addr>::new().build();
    let routes: Vec<RouteMessage> = handle.route().get(all).execute().try_collect().await?;
    let default = routes.iter().filter(|route| route.header.destination_prefix_length == 0).min_by_key(|route| metric(route));
    let Some(index) = default.and_then(output) else { return Ok(ETHERNET_MTU) };
    let link = handle.link().get().match_index(index).execute().try_next().await?;
    let mtu = |link: LinkMessage| {
        link.attributes.into_iter().find_map(|attribute| match attribute {
            LinkAttribute::Mtu(mtu) => Some(mtu),
            _ => None,
        })
    };
    Ok(link.and_then(mtu).unwrap_or(ETHERNET_MTU))
}

fn metric(route: &RouteMessage) -> u32 {
    let metric = |attribute: &RouteAttribute| match attribute {
        RouteAttribute::Priority(metric) => Some(*metric),
        _ => None,
    };
    route.attributes.iter().find_map(metric).unwrap_or(0)
}

fn output(route: &RouteMessage) -> Option<u32> {
    route.attributes.iter().find_map(|attribute| match attribute {
        RouteAttribute::Oif(index) => Some(*index),
        _ => None,
    })
}

fn name(link: &LinkMessage) -> Option<String> {
    link.attributes.iter().find_map(|attribute| match attribute {
        LinkAttribute::IfName(name) => Some(name.clone()),
        _ => None,
    })
}

fn ipv4(message: &AddressMessage) -> Option<Ipv4Addr> {
    message.attributes.iter().find_map(|attribute| match attribute {
        AddressAttribute::Local(IpAddr::V4(address)) => Some(*address),
        _ => None,
    })
}
