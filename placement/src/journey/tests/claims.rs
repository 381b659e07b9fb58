use std::time::Duration;

use starling_overlay::BootEpoch;

use super::*;
use crate::content::{ContentId, Key};
use crate::journey::give_lease;
use crate::lease::{LEASE_MAX, Lessee};

fn busy(by: &str) -> Verdict {
    Verdict::Busy { by: by.parse().unwrap() }
}

fn lessee(name: &str, boot: u64) -> Lessee {
    Lessee { name: name.parse().unwrap(), boot: BootEpoch(boot) }
}

fn held(by: &str) -> Verdict {
    Verdict::Held { holders: vec![by.parse().unwrap()] }
}

#[tokio::test(start_paused = true)]
async fn a_lease_is_renewed_while_the_work_goes_on_and_ends_with_its_holders() {
    let stage = Stage::new(&["b"], |script| script.run = Reply::after(5 * SECOND, Ok(())).into());
    let (answer, took) = stage.answer(stage.job("b", 40 * SECOND)).await;
    assert_eq!((answer.unwrap().object.as_str(), took), ("a's", 5_050 * MS));
    stage.settle().await;
    // Asked at the begin, renewed after two and four seconds, ended once.
    assert_eq!((stage.count("ask b"), stage.count("end at b: a")), (3, 1), "{:?}", stage.done());
}

#[tokio::test(start_paused = true)]
async fn a_home_is_told_who_holds_it_here_and_at_the_peer_that_made_it_and_told_again_where_it_does_not_answer()
 {
    let told = |end: stage::Replies<Result<(), PeerError>>| async move {
        let stage = Stage::new(&["b", "c"], move |script| {
            script.ranked = vec!["c", "a"];
            peer(script, "b").end = end;
        });
        assert_eq!(stage.answer(stage.job("b", 40 * SECOND)).await.0.unwrap().object, "c's");
        stage.settle().await;
        stage.count("end at b: a+c")
    };
    assert_eq!(told(Reply::at_once(Ok(())).into()).await, 1);
    assert_eq!(told([Reply::at_once(Err(gone())), Reply::at_once(Ok(()))].into()).await, 2);
    assert_eq!(told(Reply::at_once(Err(gone())).into()).await, 3, "then the lease runs out by itself");
}

#[tokio::test(start_paused = true)]
async fn work_that_fails_ends_its_lease_with_no_holder() {
    let stage = Stage::new(&["b"], |script| {
        script.probe = Reply::at_once(Err(WorkError::unusable("no video"))).into();
    });
    let (answer, _) = stage.answer(stage.job("b", 40 * SECOND)).await;
    assert_eq!(answer.unwrap_err(), WorkError::unusable("no video"));
    stage.settle().await;
    assert_eq!(stage.done(), ["ask b", "place", "probe", "end at b: "]);
    assert_eq!(stage.taken(), 0);
}

#[tokio::test(start_paused = true)]
async fn the_own_table_is_asked_where_this_node_is_the_home() {
    let stage = Stage::new(&["b"], |_| {});
    let job = stage.job("a", 40 * SECOND);
    let key = job.key.clone();
    assert!(stage.answer(job).await.0.is_ok());
    stage.settle().await;
    let told = stage.lease(&key, &lessee("b", 1));
    assert_eq!(told, held("a"), "who asks next is sent here");
}

#[tokio::test(start_paused = true)]
async fn a_home_that_is_farther_than_the_work_is_long_is_not_asked() {
    let stage = Stage::new(&["b"], |script| script.usual_service = Some(19 * MS));
    assert!(stage.answer(stage.job("b", 40 * SECOND)).await.0.is_ok());
    stage.settle().await;
    assert!(!stage.did("ask b") && !stage.did("end at b: a"), "{:?}", stage.done());
}

#[tokio::test(start_paused = true)]
async fn a_silent_home_is_waited_for_only_where_there_is_a_place_meanwhile() {
    let silent = |places| {
        Stage::new(&["b"], move |script| {
            script.places = places;
            peer(script, "b").home = Reply::after(4 * SECOND, Err(gone())).into();
            peer(script, "b").offer = Reply::at_once(Err(refused(None))).into();
        })
    };
    // With a place there is no hurry.
    let stage = silent(1);
    let (answer, took) = stage.answer(stage.job("b", 40 * SECOND)).await;
    assert!(answer.is_ok());
    assert_eq!(took, 4 * SECOND + 1_050 * MS);
    assert!(stage.told(|what| matches!(what, What::HomeSilent { .. })));
    // Without one it is decided without the home, and soon.
    let stage = silent(0);
    let (answer, took) = stage.answer(stage.job("b", 40 * SECOND)).await;
    assert_eq!(answer.unwrap_err(), saturated(5 * SECOND));
    assert!(took < SECOND, "{took:?}");
    stage.settle().await;
    assert!(stage.did("end at b: "), "whatever the question came to: {:?}", stage.done());
}

#[tokio::test(start_paused = true)]
async fn a_home_that_can_not_be_reached_keeps_nothing_from_being_done() {
    let stage = Stage::new(&["b"], |script| peer(script, "b").home = Reply::at_once(Err(gone())).into());
    let (answer, took) = stage.answer(stage.job("b", 40 * SECOND)).await;
    assert!(answer.is_ok());
    assert_eq!(took, 1_050 * MS);
}

#[tokio::test(start_paused = true)]
async fn a_home_that_dies_while_it_is_asked_is_not_waited_for() {
    let stage = Stage::new(&["b"], |script| peer(script, "b").home = Reply::never().into());
    let job = stage.job("b", 40 * SECOND);
    let dies = async {
        tokio::time::sleep(SECOND).await;
        stage.gossip("b", |member| member.state = starling_overlay::MemberState::Dead);
    };
    let ((answer, took), ()) = tokio::join!(stage.answer(job), dies);
    assert!(answer.is_ok());
    assert_eq!(took, 2_050 * MS);
}

#[tokio::test(start_paused = true)]
async fn a_result_that_is_there_is_fetched_from_the_nearest_holder() {
    let stage = Stage::new(&["b", "c", "d"], |script| {
        let holders = ["d", "c", "b"].map(|name| name.parse().unwrap()).to_vec();
        peer(script, "b").home = Reply::at_once(Ok(Verdict::Held { holders })).into();
        peer(script, "b").fetch = Reply::at_once(Ok(None)).into();
        peer(script, "c").fetch = Reply::after(100 * MS, Ok(Some(()))).into();
    });
    let (answer, took) = stage.answer(stage.job("b", 40 * SECOND)).await;
    let served = answer.unwrap();
    assert_eq!((served.object.as_str(), served.cache, took), ("held by c", CacheState::Hit, 100 * MS));
    assert_eq!(stage.done(), ["ask b", "fetch b", "fetch c"]);
    assert_eq!(served.route_text(), "a/FRA -> c/IAD");
}

#[tokio::test(start_paused = true)]
async fn a_result_that_is_said_to_be_there_and_is_not_is_made() {
    let stage = Stage::new(&["b"], |script| {
        peer(script, "b").home = Reply::at_once(Ok(held("b"))).into();
        peer(script, "b").fetch = Reply::at_once(Err(gone())).into();
    });
    assert_eq!(stage.answer(stage.job("b", 40 * SECOND)).await.0.unwrap().object, "a's");
    assert!(stage.told(|what| matches!(what, What::NotFetched { .. })));
    stage.settle().await;
    assert!(stage.did("end at b: a"), "and that is what the home knows then");
}

#[tokio::test(start_paused = true)]
async fn half_of_the_time_is_for_making_what_can_not_be_fetched() {
    let stage = Stage::new(&["b"], |script| {
        peer(script, "b").home = Reply::at_once(Ok(held("b"))).into();
        peer(script, "b").fetch = Reply::never().into();
    });
    let (answer, took) = stage.answer(stage.job("b", 10 * SECOND)).await;
    assert!(answer.is_ok());
    assert_eq!(took, 5 * SECOND + 1_050 * MS);
}

#[tokio::test(start_paused = true)]
async fn what_the_own_table_says_wrongly_is_forgotten() {
    let stage = Stage::new(&["b"], |_| {});
    let job = stage.job("a", 40 * SECOND);
    stage.lease_ended(&job.key, "b");
    assert_eq!(stage.answer(job).await.0.unwrap().object, "a's");
    assert_eq!(stage.done()[..2], ["fetch b", "place"]);
}

#[tokio::test(start_paused = true)]
async fn what_is_made_in_place_of_a_lost_result_is_known_to_be_under_way() {
    let stage = Stage::new(&["b", "c"], |_| {});
    let job = stage.job("a", 40 * SECOND);
    let key = job.key.clone();
    stage.lease_ended(&key, "b");
    let meanwhile = async {
        tokio::time::sleep(500 * MS).await;
        assert_eq!(stage.lease(&key, &lessee("c", 1)), busy("a"), "and not held by the node that lost it");
    };
    let ((answer, _), ()) = tokio::join!(stage.answer(job), meanwhile);
    assert_eq!(answer.unwrap().object, "a's");
}

#[tokio::test(start_paused = true)]
async fn the_lease_of_a_node_that_has_started_again_is_over() {
    let stage = Stage::new(&["b", "c"], |_| {});
    let key = stage.key("a");
    let other = Key { recipe: ContentId::of(b"another recipe"), ..key.clone() };
    let claim = async |key: &Key, lessee| give_lease(&*stage, key, &lessee, LEASE_MAX, Duration::ZERO).await;
    assert_eq!(claim(&key, lessee("b", 1)).await, Verdict::Yours);
    assert_eq!(claim(&key, lessee("c", 1)).await, busy("b"));
    stage.gossip("b", |member| std::sync::Arc::make_mut(&mut member.identity).boot = BootEpoch(2));
    assert_eq!(claim(&key, lessee("c", 1)).await, Verdict::Yours);
    // This node was another boot, too, when it had that.
    assert_eq!(claim(&other, lessee("a", 0)).await, Verdict::Yours);
    assert_eq!(claim(&other, lessee("c", 1)).await, Verdict::Yours);
    assert_eq!(claim(&other, lessee("b", 2)).await, busy("c"));
}

#[tokio::test(start_paused = true)]
async fn a_place_taken_while_the_home_was_silent_is_free_while_another_node_works() {
    let stage = Stage::new(&["b", "c"], |script| {
        peer(script, "b").home = [
            Reply::after(SECOND, Ok(busy("c"))),
            Reply::at_once(Ok(busy("c"))),
            Reply::at_once(Ok(held("c"))),
        ]
        .into();
        peer(script, "c").fetch = Reply::at_once(Ok(Some(()))).into();
    });
    let look = async {
        tokio::time::sleep(900 * MS).await;
        assert_eq!(stage.taken(), 1, "it is to be made here, unless the home says otherwise");
        tokio::time::sleep(200 * MS).await;
        assert_eq!(stage.taken(), 0, "it does");
    };
    let ((answer, _), ()) = tokio::join!(stage.answer(stage.job("b", 40 * SECOND)), look);
    assert_eq!(answer.unwrap().object, "held by c");
}

#[tokio::test(start_paused = true)]
async fn a_place_that_a_hedge_did_not_need_is_free_while_the_other_node_is_waited_for() {
    // c gets on, and takes long; b, which a gives it to meanwhile, ends it.
    let gets_on = |moved| Reply::at_once(Ok(Some(Progress { moved, waits: false, part: None })));
    let stage = Stage::new(&["b", "c"], |script| {
        script.ranked = vec!["b", "a"];
        peer(script, "b").home = Reply::at_once(Ok(busy("c"))).into();
        peer(script, "b").work = Reply::at_once(Err(PeerError::Ended(WorkError::TooLate))).into();
        peer(script, "c").progress = stage::Replies::of((0..60).map(gets_on).collect());
    });
    let done = async {
        tokio::time::sleep(30 * SECOND).await;
        assert!(stage.told(|what| matches!(what, What::HedgeFailed { .. })), "{:?}", stage.done());
        assert_eq!(stage.taken(), 0);
        let script = &mut stage.script();
        peer(script, "b").home = Reply::at_once(Ok(held("c"))).into();
        peer(script, "c").fetch = Reply::at_once(Ok(Some(()))).into();
    };
    let ((answer, _), ()) = tokio::join!(stage.answer(stage.job("b", 40 * SECOND)), done);
    assert_eq!(answer.unwrap().object, "held by c");
}

#[tokio::test(start_paused = true)]
async fn a_home_is_not_asked_again_and_again_for_a_request_whose_time_is_over() {
    let stage = Stage::new(&["b", "c"], |script| {
        script.places = 0;
        // Each answer has its way.
        peer(script, "b").home = Reply::after(10 * MS, Ok(busy("c"))).into();
    });
    let (short, long) = (stage.job("b", 10 * SECOND), stage.job("b", 20 * SECOND));
    let (short, long) = tokio::join!(stage.answer(short), stage.answer(long));
    assert_eq!((short.0.unwrap_err(), short.1), (WorkError::TooLate, 10 * SECOND));
    assert_eq!((long.0.unwrap_err(), long.1), (WorkError::TooLate, 20 * SECOND));
    // The second one joined the first, and then went on by itself.
    let asked = stage.events().iter().filter(|what| matches!(what, What::HomeAsked { .. })).count();
    assert_eq!(asked, 2);
    assert!(stage.count("ask b") <= 16, "{:?}", stage.done());
}

#[tokio::test(start_paused = true)]
async fn another_nodes_work_is_waited_for_without_a_place() {
    let stage = Stage::new(&["b", "c"], |script| {
        peer(script, "b").home =
            [Reply::at_once(Ok(busy("c"))), Reply::at_once(Ok(busy("c"))), Reply::at_once(Ok(held("c")))]
                .into();
        peer(script, "c").fetch = Reply::at_once(Ok(Some(()))).into();
    });
    let (answer, took) = stage.answer(stage.job("b", 40 * SECOND)).await;
    assert_eq!(answer.unwrap().object, "held by c");
    assert_eq!(took, 2 * SECOND, "asked every two seconds");
    assert!(stage.did("hold booking") && !stage.did("place"), "{:?}", stage.done());
    stage.settle().await;
    assert!(!stage.did("end at b: "), "it owes the home nothing");
}

#[tokio::test(start_paused = true)]
async fn a_node_that_is_done_and_of_which_the_home_has_not_heard_is_asked_itself() {
    let stage = Stage::new(&["b", "c"], |script| {
        peer(script, "b").home = Reply::at_once(Ok(busy("c"))).into();
        peer(script, "c").progress = Reply::at_once(Ok(None)).into();
        peer(script, "c").fetch = Reply::at_once(Ok(Some(()))).into();
    });
    let (answer, took) = stage.answer(stage.job("b", 40 * SECOND)).await;
    assert_eq!((answer.unwrap().object.as_str(), took), ("held by c", Duration::ZERO));
}

#[tokio::test(start_paused = true)]
async fn where_the_other_gives_up_the_work_is_this_nodes() {
    let stage = Stage::new(&["b", "c"], |script| {
        peer(script, "b").home = [Reply::at_once(Ok(busy("c"))), Reply::at_once(Ok(Verdict::Yours))].into();
    });
    let (answer, took) = stage.answer(stage.job("b", 40 * SECOND)).await;
    assert_eq!((answer.unwrap().object.as_str(), took), ("a's", 1_050 * MS));
}

#[tokio::test(start_paused = true)]
async fn no_longer_than_its_deadline_does_a_request_wait_for_another_nodes_work() {
    let stage = Stage::new(&["b", "c"], |script| {
        script.places = 0;
        peer(script, "b").home = Reply::at_once(Ok(busy("c"))).into();
    });
    let (answer, took) = stage.answer(stage.job("b", 10 * SECOND)).await;
    assert_eq!((answer.unwrap_err(), took), (WorkError::TooLate, 10 * SECOND));
}

#[tokio::test(start_paused = true)]
async fn a_client_that_leaves_while_the_home_is_asked_leaves_no_lease_behind() {
    let stage = Stage::new(&["b"], |script| {
        peer(script, "b").home = Reply::after(500 * MS, Ok(Verdict::Yours)).into();
    });
    let job = stage.job("b", 40 * SECOND);
    let gone = tokio::time::timeout(100 * MS, stage.answer(job)).await;
    assert!(gone.is_err());
    stage.settle().await;
    assert_eq!(stage.done(), ["ask b", "end at b: "], "the end follows the question");
}
