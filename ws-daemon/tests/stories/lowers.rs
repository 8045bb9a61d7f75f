//! The image under a workspace: the same one at every start, and there for as long as the workspace is.

use api::v1::*;

use super::support::*;

/// Waits until images were collected once more than `before` times, and answers what was said to be in use.
async fn collected_after(node: &TestNode, before: usize) -> Vec<String> {
    within(async {
        while node.machine.collected().len() <= before {
            tokio::task::yield_now().await;
        }
        node.machine.collected().pop().expect("collected")
    })
    .await
}

fn over(image: &str, number: char, workspace: char) -> InstanceSpec {
    InstanceSpec { image: image.into(), ..spec(number, workspace) }
}

#[tokio::test]
async fn a_workspace_starts_over_the_image_that_it_was_made_over_although_the_tag_has_moved() {
    let node = TestNode::new().await;
    let first = over("app:latest", 'a', '1');
    assert_eq!(node.running(&first).await.image_digest, "sha256:0a");
    node.stop(&first).await;
    node.until_phase(&first.id, Phase::Stopped).await;
    node.machine.move_tags("sha256:0b");
    let again = node.running(&over("app:latest", 'b', '1')).await;
    assert_eq!(again.image_digest, "sha256:0a");
    let new = node.running(&over("app:latest", 'c', '2')).await;
    assert_eq!(new.image_digest, "sha256:0b", "a new workspace has what the tag means now");
}

#[tokio::test]
async fn a_workspace_whose_configuration_names_another_image_stays_over_its_own() {
    let node = TestNode::new().await;
    let first = over("host", 'a', '1');
    node.running(&first).await;
    node.stop(&first).await;
    node.until_phase(&first.id, Phase::Stopped).await;
    assert_eq!(node.running(&over("app:latest", 'b', '1')).await.image_digest, "", "it is the machine's own");
}

#[tokio::test]
async fn images_are_collected_at_the_start_and_after_a_workspace_was_forgotten_but_not_those_of_kept_ones() {
    let node = TestNode::new().await;
    assert!(collected_after(&node, 0).await.is_empty(), "nobody is known at the first start");
    let (kept, forgotten) = (over("app:latest", 'a', '1'), over("app:latest", 'b', '2'));
    node.running(&kept).await;
    node.stop(&kept).await;
    node.until_phase(&kept.id, Phase::Stopped).await;
    node.remove(&kept, false).await;
    node.machine.move_tags("sha256:0b");
    node.running(&forgotten).await;
    let node = node.restart().await;
    assert_eq!(collected_after(&node, 1).await, ["sha256:0a", "sha256:0b"], "a stopped workspace needs its image");
    node.remove(&forgotten, true).await;
    assert_eq!(collected_after(&node, 2).await, ["sha256:0a"]);
}
