//! Whether the fast path gives the pipeline's ids, tried on a text that has a bit of everything.

use super::{Fast, Memo, Work};
use crate::added::Special;
use crate::pipeline::Pipeline;

/// Words, contractions, numbers, marks and spaces of many kinds and scripts.
const SAMPLE: &str = "The quick brown fox, it's said, WON'T jump; they'LL've 'd it.\r\n\n  \tdef f(x):\n        return x[0]+=1_000.25e-3 \
    # ¿qué?  HTTPServer camelCase_XMLHttp iPhone don’t 'ſ 3½ ²³ ٣٤ 12345678\n\n\n   \n end \u{a0}\u{a0}x\u{3000}y\u{200b}\u{feff} \
    Ünïcödé e\u{301}a\u{308} ǅungla ʰªº ﬁ ｆｕｌｌ Ⅷ Русский текст ελληνικά עברית العربيَّة हिन्दी ภาษาไทย 我们的中文，汉字。 \
    ひらがなカタカナ 한국어 문장 👍🏽👨‍👩‍👧 🇺🇳 ▁▁a▁b <|x|> </s> {{\"k\": [1, 2]}} //// ---- ==== !!!\r\n/ aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa \
    supercalifragilisticexpialidocious                                 end   ";

/// Whether both give the same ids of the sample and of `further`, alone and once more with what was remembered.
pub(super) fn agree(pipeline: &Pipeline, fast: &Fast, further: &str) -> bool {
    let mut memo = Memo::new();
    [SAMPLE, further, SAMPLE].into_iter().all(|text| {
        let (mut plain, mut ids) = (Vec::new(), Vec::new());
        pipeline.encode_plainly(text, Special::None, &mut plain);
        fast.encode(&mut Work { pipeline, memo: &mut memo, threads: None }, text, Special::None, &mut ids);
        plain == ids
    })
}
