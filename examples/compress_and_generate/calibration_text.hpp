// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// @brief The text that models are calibrated on; written for this program, and no part of any
///        evaluation text.

#include <string_view>

namespace demo {

/// English prose of several kinds, some 800 words.
inline constexpr std::string_view calibration_text =
    "The common kestrel is a small falcon that hunts over open country. It is best known for "
    "its habit of hovering against the wind with its head perfectly still while it watches the "
    "ground for voles and large insects. Adults measure about 34 centimetres from head to tail "
    "and weigh between 150 and 250 grams; the female is noticeably larger than the male. The "
    "species breeds across most of Europe , Asia and Africa , and in mild winters many "
    "northern birds do not migrate at all. \n"
    "\n"
    "Early life and career \n"
    "\n"
    "Born in a mill town in 1871, she was the third of five children of a weaver and a "
    "schoolteacher. She left school at fourteen to work in the dye house, but attended evening "
    "classes in drawing and chemistry, and by 1893 she had been appointed assistant to the "
    "head of the laboratory. Her first published paper, on the fading of indigo under "
    "artificial light, appeared two years later. \"Nobody had asked the question before,\" she "
    "wrote in a letter to her brother, \"because nobody had needed to sell blue cloth under a "
    "gas lamp.\" \n"
    "\n"
    "The second season opened with a draw at home, followed by three straight wins. The team "
    "scored twelve goals in its first six matches and conceded only four. In the final game, "
    "played in heavy rain before a crowd of 8,400, the visitors took the lead after nineteen "
    "minutes; a penalty shortly before half-time made it one all, and the winning goal came "
    "from a corner in the eighty-third minute. \n"
    "\n"
    "\"Are you sure this is the right road?\" asked Tom. \n"
    "\"No,\" said his sister, \"but it is the only one that goes downhill.\" \n"
    "They walked on for another hour without speaking. The lanterns of the village were out of "
    "sight, and the path had become so narrow that the wet ferns on both sides touched their "
    "sleeves. Once upon a time there had been a wooden bridge at the bottom. Now there was "
    "only the sound of the water. \n"
    "\n"
    "To install the pump, first close the main valve and drain the pipe. Then remove the four "
    "bolts that hold the cover, clean the seat with a dry cloth, and check the seal for "
    "cracks. If the seal is damaged, replace it; a worn seal will leak within a few days. "
    "Tighten the bolts crosswise to 25 newton metres. Finally, open the valve slowly and watch "
    "the gauge: the pressure should rise to between 2.5 and 3 bar and stay there. \n"
    "\n"
    "In mathematics, a prime number is a natural number greater than one that is not the "
    "product of two smaller natural numbers. There are infinitely many primes, as was shown by "
    "Euclid around 300 BC. The problem of finding a fast method to decide whether a given "
    "number is prime has been studied for centuries, and large primes are used every day to "
    "protect messages on the Internet. \n"
    "\n"
    "The storm formed on 14 September from a tropical wave south of the islands. It "
    "strengthened quickly, reached its peak with winds of 185 km / h on the evening of the "
    "17th, and then turned north over cooler water. Damage was estimated at 1.2 million "
    "dollars, most of it to fishing boats and to the harbour wall, which had been rebuilt only "
    "the year before. A school was used as a shelter for 340 people. Two years later the "
    "government published a report which recommended a new warning system, better building "
    "rules and a larger reserve of drinking water; only the first of these had been carried "
    "out by the end of the decade. \n"
    "\n"
    "The album was recorded in eleven days in a rented farmhouse. Critics praised its plain "
    "arrangements and its dry sense of humour, although one of them complained that \"the "
    "songs end just when they begin to be interesting\". It sold poorly at first, reached "
    "number 37 on the chart after a television appearance, and is now regarded as the band's "
    "best work. \n"
    "\n"
    "Q: How do I keep my bread fresh? \n"
    "A: Let the loaf cool completely before you store it. Wrap it in a cotton cloth, or keep "
    "it in a paper bag inside a wooden box. Do not put bread in the refrigerator, where it "
    "dries faster; slices that you cannot eat within two days are better frozen and toasted "
    "later. \n"
    "\n"
    "The castle was begun by the bishop's nephew in about 1240 on the site of an older fort. A "
    "square tower, a hall with four windows and parts of the curtain wall survive. During the "
    "siege of 1402 the garrison held out for nine weeks before the well ran dry. After the war "
    "the king granted the estate to a family of merchants, who added a garden and a chapel and "
    "lived there until 1688, when the roof of the hall collapsed under the weight of snow.";

}  // namespace demo
