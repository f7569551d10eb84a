//! Proof under concurrency on the card with most VFs; `soak::crowd` has the other one, and kills.

use crate::card::X710;
use crate::soak::crowd;

#[test]
fn eighty_three_attaches_at_once_share_sixty_four_vfs() {
    crowd::a_crowd_shares_the_vfs(X710, 1);
}
