PRAGMA application_id=1836017012;
PRAGMA foreign_keys=OFF;
BEGIN TRANSACTION;
CREATE TABLE grdb_migrations (identifier TEXT NOT NULL PRIMARY KEY);
INSERT INTO grdb_migrations VALUES('trace-1');
INSERT INTO grdb_migrations VALUES('trace-2');
INSERT INTO grdb_migrations VALUES('trace-3');
INSERT INTO grdb_migrations VALUES('trace-4');
INSERT INTO grdb_migrations VALUES('trace-5');
INSERT INTO grdb_migrations VALUES('trace-6');
INSERT INTO grdb_migrations VALUES('trace-7');
INSERT INTO grdb_migrations VALUES('trace-8');
INSERT INTO grdb_migrations VALUES('trace-9');
CREATE TABLE run (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  name TEXT NOT NULL,
  tags TEXT NOT NULL,
  description TEXT NOT NULL,
  state TEXT NOT NULL,
  reason TEXT,
  started_at REAL NOT NULL,
  ended_at REAL,
  heartbeat REAL NOT NULL,
  process INTEGER NOT NULL,
  host TEXT NOT NULL,
  token_count INTEGER NOT NULL DEFAULT 0,
  stored_bytes INTEGER NOT NULL DEFAULT 0
, token_checksum INTEGER, router_checksum INTEGER, word_checksum INTEGER);
INSERT INTO run VALUES(1,'fixture','["test"]','{"engine":{"simd":"none","threads":1,"version":"0"},"input":{"hash":"aa","source":"test"},"model":{"family":"olmoe","filesHash":"00ff","layerCount":4,"name":"sample","path":"/models/sample","quantization":"bf16","routerPrecision":"f32","tokenizerHash":"","vocabularySize":500},"name":"fixture","recording":{"content":"full","logitsEvery":4,"precision":"f32"},"routers":[],"seed":0,"startedAt":1700000000,"tags":["test"]}','completed',NULL,1700000000.0,1700000100.0,1700000100.0,1,'fixture',9,984,126401250,2576588751,1944644779);
CREATE TABLE sequence (
  run INTEGER NOT NULL REFERENCES run ON DELETE CASCADE,
  sequence INTEGER NOT NULL,
  name TEXT NOT NULL,
  labels TEXT NOT NULL,
  token_count INTEGER NOT NULL DEFAULT 0,
  PRIMARY KEY (run, sequence)
) WITHOUT ROWID;
INSERT INTO sequence VALUES(1,0,'first','{"domain":"code"}',5);
INSERT INTO sequence VALUES(1,1,'sequence 1','{}',4);
CREATE TABLE token (
  run INTEGER NOT NULL REFERENCES run ON DELETE CASCADE,
  token INTEGER NOT NULL,
  sequence INTEGER NOT NULL,
  position INTEGER NOT NULL,
  token_id INTEGER NOT NULL,
  phase INTEGER NOT NULL,
  surprisal REAL,
  next_token_entropy REAL,
  PRIMARY KEY (run, token)
) WITHOUT ROWID;
INSERT INTO token VALUES(1,0,0,0,174,0,NULL,1.1796653270721435546);
INSERT INTO token VALUES(1,1,0,1,364,0,2.4282522201538085937,0.58852016925811767578);
INSERT INTO token VALUES(1,2,0,2,397,0,7.6100101470947265625,0.053634047508239746093);
INSERT INTO token VALUES(1,3,0,3,299,0,4.7392897605895996093,3.5542998313903808593);
INSERT INTO token VALUES(1,4,0,4,79,0,2.7226722240447998046,0.02717494964599609375);
INSERT INTO token VALUES(1,5,1,0,22,0,NULL,4.6000647544860839843);
INSERT INTO token VALUES(1,6,1,1,426,1,2.833126068115234375,4.0880579948425292968);
INSERT INTO token VALUES(1,7,1,2,191,0,6.3662977218627929687,0.22291809320449829101);
INSERT INTO token VALUES(1,8,1,3,155,0,3.5864238739013671875,3.2431640625);
CREATE TABLE piece (
  run INTEGER NOT NULL REFERENCES run ON DELETE CASCADE,
  token_id INTEGER NOT NULL,
  piece BLOB NOT NULL,
  PRIMARY KEY (run, token_id)
) WITHOUT ROWID;
INSERT INTO piece VALUES(1,22,X'20743232');
INSERT INTO piece VALUES(1,79,X'20743739');
INSERT INTO piece VALUES(1,155,X'2074313535');
INSERT INTO piece VALUES(1,174,X'2074313734');
INSERT INTO piece VALUES(1,191,X'2074313931');
CREATE TABLE router (
  id INTEGER PRIMARY KEY,
  run INTEGER NOT NULL REFERENCES run ON DELETE CASCADE,
  layer INTEGER NOT NULL,
  stack TEXT NOT NULL,
  expert_count INTEGER NOT NULL,
  top_k INTEGER NOT NULL,
  id_bytes INTEGER NOT NULL,
  weight_bytes INTEGER NOT NULL,
  logit_bytes INTEGER NOT NULL,
  page_tokens INTEGER NOT NULL DEFAULT 0,
  log_expert_count REAL NOT NULL,
  selection_unit TEXT NOT NULL,
  policy TEXT NOT NULL,
  spec TEXT NOT NULL,
  token_count INTEGER NOT NULL DEFAULT 0,
  assignments INTEGER NOT NULL DEFAULT 0,
  dropped INTEGER NOT NULL DEFAULT 0,
  importance_tokens INTEGER NOT NULL DEFAULT 0,
  entropy_sum REAL NOT NULL DEFAULT 0,
  entropy_tokens INTEGER NOT NULL DEFAULT 0,
  selection_margin_sum REAL NOT NULL DEFAULT 0,
  selection_margin_tokens INTEGER NOT NULL DEFAULT 0,
  top1_margin_sum REAL NOT NULL DEFAULT 0,
  top1_margin_tokens INTEGER NOT NULL DEFAULT 0,
  top_k_mass_sum REAL NOT NULL DEFAULT 0,
  top_k_mass_tokens INTEGER NOT NULL DEFAULT 0,
  UNIQUE (run, layer, stack)
);
INSERT INTO router VALUES(1,1,0,'ffn',4,2,1,4,4,9,1.3862943611198905724,'probability','softmax, top-2 of 4, weights renormalised','{"appliesTo":"output","expertCount":4,"identityExperts":0,"normalization":{"sum":{"epsilon":0}},"routedScale":1,"scoring":{"softmax":{}},"selection":{"tokenChoice":{"topK":2}},"weighting":"scores"}',9,18,0,7,7.9548074007034301757,7,4.5935013294219970703,9,2.2916520237922668457,7,2.5572627782821655273,7);
INSERT INTO router VALUES(2,1,1,'ffn',4,2,1,4,4,9,1.3862943611198905724,'probability','softmax, top-2 of 4, weights renormalised','{"appliesTo":"output","expertCount":4,"identityExperts":0,"normalization":{"sum":{"epsilon":0}},"routedScale":1,"scoring":{"softmax":{}},"selection":{"tokenChoice":{"topK":2}},"weighting":"scores"}',9,13,5,7,8.087450563907623291,7,2.9923253655433654785,9,2.4235618114471435546,7,3.1952719688415527343,7);
INSERT INTO router VALUES(3,1,3,'ffn',4,2,1,4,4,9,1.3862943611198905724,'probability','softmax, top-2 of 4, weights renormalised','{"appliesTo":"output","expertCount":4,"identityExperts":0,"normalization":{"sum":{"epsilon":0}},"routedScale":1,"scoring":{"softmax":{}},"selection":{"tokenChoice":{"topK":2}},"weighting":"scores"}',9,16,2,7,12.651769757270812988,7,4.7966083884239196777,9,2.1265440583229064941,7,3.5317332744598388671,7);
CREATE TABLE page (
  id INTEGER PRIMARY KEY,
  router INTEGER NOT NULL REFERENCES router ON DELETE CASCADE,
  first_token INTEGER NOT NULL,
  token_count INTEGER NOT NULL,
  squared_lse REAL,
  absent BLOB,
  dropped BLOB,
  ids BLOB NOT NULL,
  weights BLOB,
  entropy BLOB,
  selection_margin BLOB,
  top1_margin BLOB,
  top_k_mass BLOB,
  importance BLOB,
  logit_rows BLOB,
  logits BLOB
, checksum INTEGER, decision_checksum INTEGER);
INSERT INTO page VALUES(1,1,0,9,6.1958889147674076625,NULL,NULL,X'020103020302020003000003030000030200',X'fc43e23f2e8c40c0a4a93d4056e8574060cb333edc80aabfa04ad6be144f1240b27250c010aa573f90493bbf80f254be268168401477aabfb09bdb3ee85f453f28d2133f8aaa13c0',X'0000c07f0000c07f62f0be3fecc7e13e1c49eb3ecc10633fc6872f40a4fc113f396cae3f',X'5f547b3fea44c33e0fa6293f269acb3e3281cb3e884b463f888ac43e14dc673ea87ac63e',X'0000c07f0000c07f82d3673fcce9c33e149da03e10b70a3d3886b63e186f053ec0212d3e',X'0000c07f0000c07fd803093eb0126c3db8651b3f42c20d3f7047d33e29393c3fa01c6a3d',X'116164f26f00fe3f5c647a0c0d00f83f328f4b0f0994f53f74cbfb61751cff3f',X'000000000400000008000000',X'c0d1d23d3a48284020d6edbfc08a9f3eac1d913f44b0ab3f7ae101c07e473840dc55f2bfac02be3ff00da4be4c6efc3f',2529079545,591666872);
INSERT INTO page VALUES(2,2,0,9,10.812355201213922128,NULL,X'049900',X'010200030003030100020100000101030003',X'10adfdbe8c3363402c09ac3f2a697a40881d8f3fd4dbfa3f409e5b3ec4d536c0b0a8633f5c9370c0a4e1f5bf009252c0dee74440c092ab3dd06c853eb860213f00a023be26184340',X'4e4cb83f285f733fb037e13efaaf803f0000c07f02ac8d3f0000c07f26183a40f4db723e',X'0c53643ea05b753f382b873e3026cc3ea8cf673ea49b713ea859843e30daeb3d0ada9f3e',X'9244923e28eba73dfcd93b3e6730093f0000c07f9cff773e0000c07fbadeb03eb4b83f3f',X'92b0193f82506c3f180ec83d0284ff3e0000c07ffac23f3f0000c07ffcaf173e1c26363e',X'1ab63d2b0f1bf33fb22470a5efe1f53fb4da9f7139120040e0e932ee913aeb3f',X'000000000400000008000000',X'00152abd50c5a9bfacd544c0a06b42c0fc8bff3f6c0b8d3fc0d19bbf0a8b16c082c15c408e8a2cc0000da2bfc83d14c0',2199235232,4222871757);
INSERT INTO page VALUES(3,3,0,9,11.383147697425288313,NULL,X'003000',X'020003010100020101030300000102030203',X'f08e7dc0d42baebfac728cbf8ab12fc0d05d73c0606d6840e07c77c080e156402c2f9f3f003b923d36724f4070ea8cbfda0c6bc01a344c403c804140fecf3740f88ae0bfd07269c0',X'264cdc3f0000c07f8438f63f0000c07fbe71e73fa2f5f43fcc7fd23f80b027405ba0823f',X'6f7d243f1824493f83ca3b3fa8a0623e4c514b3eae1f0f3f1e34353f1c2caa3e269c1d3f',X'9f577f3f0000c07f303e3e3d0000c07f30f34c3de0837f3eeaa70d3f9ced2f3e30636d3d',X'a931153f0000c07fe002583e0000c07fdc6e5e3fc65fa23ee88d5a3fd826e43e705a813e',X'7c82ce8cb714fa3f2ea7adfce825ef3f6e6a522e6ef1fe3f33e4115d5f6ef43f',X'000000000400000008000000',X'348ddebf209e683f7e1d7140804152bd104cfcbff8be97bf60ab493e0034babce08bb8bea0e24c3fc8a6aebf782a89bf',3810519510,2264519860);
CREATE TABLE expert_total (
  router INTEGER NOT NULL REFERENCES router ON DELETE CASCADE,
  expert INTEGER NOT NULL,
  assignments INTEGER NOT NULL,
  weight_sum REAL,
  importance_sum REAL,
  PRIMARY KEY (router, expert)
) WITHOUT ROWID;
INSERT INTO expert_total VALUES(1,0,6,-0.81319665908813476562,1.8751067608300824307);
INSERT INTO expert_total VALUES(1,1,1,-3.0085558891296386718,1.5000124442506352906);
INSERT INTO expert_total VALUES(1,2,5,3.9680852890014648437,1.3486414525477354864);
INSERT INTO expert_total VALUES(1,3,6,4.07798004150390625,1.9444478824122741755);
INSERT INTO expert_total VALUES(2,0,2,0.95829868316650390625,1.1941062630752470319);
INSERT INTO expert_total VALUES(2,1,5,-4.9288349151611328125,1.3676601850914207325);
INSERT INTO expert_total VALUES(2,2,2,-0.208972930908203125,2.0088986279400504741);
INSERT INTO expert_total VALUES(2,3,4,9.1353220939636230468,0.85089966319292997809);
INSERT INTO expert_total VALUES(3,0,3,1.1700587272644042968,1.6300578594456558434);
INSERT INTO expert_total VALUES(3,1,4,-1.9466714859008789062,0.97337769843327293095);
INSERT INTO expert_total VALUES(3,2,4,-6.559635162353515625,1.9339429673624652927);
INSERT INTO expert_total VALUES(3,3,5,1.4399352073669433593,1.2769464145224105333);
CREATE TABLE capture_check (
  run INTEGER NOT NULL REFERENCES run ON DELETE CASCADE,
  name TEXT NOT NULL,
  outcome TEXT NOT NULL,
  detail TEXT NOT NULL,
  PRIMARY KEY (run, name)
) WITHOUT ROWID;
INSERT INTO capture_check VALUES(1,'assignment_sum','held','assignments = tokens x topK - drops, 3 of 3 routers');
INSERT INTO capture_check VALUES(1,'distinct_rows','notApplicable','fewer than 33 different tokens');
INSERT INTO capture_check VALUES(1,'equal_tokens','held','every router saw every token of its stack, 3 of 3 routers');
INSERT INTO capture_check VALUES(1,'finite_logits','failed','router ffn.0: 2 of 9 tokens have a logit that is not finite; router ffn.1: 2 of 9 tokens have a logit that is not finite; router ffn.3: 2 of 9 tokens have a logit that is not finite');
INSERT INTO capture_check VALUES(1,'finite_outputs','notApplicable','the model''s output was not computed');
INSERT INTO capture_check VALUES(1,'load_variance','notApplicable','fewer than 33 different tokens');
INSERT INTO capture_check VALUES(1,'no_partition','notApplicable','fewer than 33 different tokens');
INSERT INTO capture_check VALUES(1,'score_sum','failed','router ffn.0: router probabilities sum to 0.9526012200058184; router ffn.1: router probabilities sum to 0.7745092484713785; router ffn.3: router probabilities sum to 0.8306178485376863');
INSERT INTO capture_check VALUES(1,'selection_recomputed','failed','router ffn.0: 3 of 3 decisions differ from their logits; router ffn.1: 3 of 3 decisions differ from their logits; router ffn.3: 3 of 3 decisions differ from their logits');
CREATE TABLE number (number INTEGER PRIMARY KEY);
INSERT INTO number VALUES(0);
INSERT INTO number VALUES(1);
CREATE TABLE decoder (bytes BLOB NOT NULL);
INSERT INTO decoder VALUES(X'000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f202122232425262728292a2b2c2d2e2f303132333435363738393a3b3c3d3e3f404142434445464748494a4b4c4d4e4f505152535455565758595a5b5c5d5e5f606162636465666768696a6b6c6d6e6f707172737475767778797a7b7c7d7e7f808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9fa0a1a2a3a4a5a6a7a8a9aaabacadaeafb0b1b2b3b4b5b6b7b8b9babbbcbdbebfc0c1c2c3c4c5c6c7c8c9cacbcccdcecfd0d1d2d3d4d5d6d7d8d9dadbdcdddedfe0e1e2e3e4e5e6e7e8e9eaebecedeeeff0f1f2f3f4f5f6f7f8f9fafbfcfdfeff');
CREATE TABLE float_scale (exponent INTEGER PRIMARY KEY, leading INTEGER NOT NULL, scale REAL NOT NULL);
INSERT INTO float_scale VALUES(0,0,1.4012984643248170709e-45);
INSERT INTO float_scale VALUES(1,8388608,1.4012984643248170709e-45);
INSERT INTO float_scale VALUES(2,8388608,2.8025969286496341418e-45);
INSERT INTO float_scale VALUES(3,8388608,5.6051938572992682837e-45);
INSERT INTO float_scale VALUES(4,8388608,1.1210387714598536567e-44);
INSERT INTO float_scale VALUES(5,8388608,2.2420775429197073135e-44);
INSERT INTO float_scale VALUES(6,8388608,4.484155085839414627e-44);
INSERT INTO float_scale VALUES(7,8388608,8.968310171678829254e-44);
INSERT INTO float_scale VALUES(8,8388608,1.7936620343357658508e-43);
INSERT INTO float_scale VALUES(9,8388608,3.5873240686715317016e-43);
INSERT INTO float_scale VALUES(10,8388608,7.1746481373430634033e-43);
INSERT INTO float_scale VALUES(11,8388608,1.4349296274686126806e-42);
INSERT INTO float_scale VALUES(12,8388608,2.8698592549372253612e-42);
INSERT INTO float_scale VALUES(13,8388608,5.7397185098744507225e-42);
INSERT INTO float_scale VALUES(14,8388608,1.1479437019748901444e-41);
INSERT INTO float_scale VALUES(15,8388608,2.2958874039497802889e-41);
INSERT INTO float_scale VALUES(16,8388608,4.5917748078995605778e-41);
INSERT INTO float_scale VALUES(17,8388608,9.1835496157991211556e-41);
INSERT INTO float_scale VALUES(18,8388608,1.8367099231598242313e-40);
INSERT INTO float_scale VALUES(19,8388608,3.6734198463196484625e-40);
INSERT INTO float_scale VALUES(20,8388608,7.346839692639296925e-40);
INSERT INTO float_scale VALUES(21,8388608,1.469367938527859385e-39);
INSERT INTO float_scale VALUES(22,8388608,2.9387358770557187701e-39);
INSERT INTO float_scale VALUES(23,8388608,5.8774717541114375402e-39);
INSERT INTO float_scale VALUES(24,8388608,1.175494350822287508e-38);
INSERT INTO float_scale VALUES(25,8388608,2.3509887016445750161e-38);
INSERT INTO float_scale VALUES(26,8388608,4.7019774032891500322e-38);
INSERT INTO float_scale VALUES(27,8388608,9.4039548065783000645e-38);
INSERT INTO float_scale VALUES(28,8388608,1.8807909613156600128e-37);
INSERT INTO float_scale VALUES(29,8388608,3.7615819226313200256e-37);
INSERT INTO float_scale VALUES(30,8388608,7.5231638452626400513e-37);
INSERT INTO float_scale VALUES(31,8388608,1.5046327690525280102e-36);
INSERT INTO float_scale VALUES(32,8388608,3.0092655381050560205e-36);
INSERT INTO float_scale VALUES(33,8388608,6.0185310762101120411e-36);
INSERT INTO float_scale VALUES(34,8388608,1.2037062152420224082e-35);
INSERT INTO float_scale VALUES(35,8388608,2.4074124304840448164e-35);
INSERT INTO float_scale VALUES(36,8388608,4.8148248609680896329e-35);
INSERT INTO float_scale VALUES(37,8388608,9.6296497219361792659e-35);
INSERT INTO float_scale VALUES(38,8388608,1.9259299443872358531e-34);
INSERT INTO float_scale VALUES(39,8388608,3.8518598887744717063e-34);
INSERT INTO float_scale VALUES(40,8388608,7.7037197775489434127e-34);
INSERT INTO float_scale VALUES(41,8388608,1.5407439555097886825e-33);
INSERT INTO float_scale VALUES(42,8388608,3.081487911019577365e-33);
INSERT INTO float_scale VALUES(43,8388608,6.16297582203915473e-33);
INSERT INTO float_scale VALUES(44,8388608,1.2325951644078309459e-32);
INSERT INTO float_scale VALUES(45,8388608,2.4651903288156618919e-32);
INSERT INTO float_scale VALUES(46,8388608,4.9303806576313237838e-32);
INSERT INTO float_scale VALUES(47,8388608,9.8607613152626475677e-32);
INSERT INTO float_scale VALUES(48,8388608,1.9721522630525295135e-31);
INSERT INTO float_scale VALUES(49,8388608,3.9443045261050590269e-31);
INSERT INTO float_scale VALUES(50,8388608,7.8886090522101180539e-31);
INSERT INTO float_scale VALUES(51,8388608,1.5777218104420236107e-30);
INSERT INTO float_scale VALUES(52,8388608,3.1554436208840472215e-30);
INSERT INTO float_scale VALUES(53,8388608,6.310887241768094443e-30);
INSERT INTO float_scale VALUES(54,8388608,1.2621774483536188886e-29);
INSERT INTO float_scale VALUES(55,8388608,2.5243548967072377772e-29);
INSERT INTO float_scale VALUES(56,8388608,5.0487097934144755544e-29);
INSERT INTO float_scale VALUES(57,8388608,1.0097419586828951108e-28);
INSERT INTO float_scale VALUES(58,8388608,2.0194839173657902217e-28);
INSERT INTO float_scale VALUES(59,8388608,4.0389678347315804435e-28);
INSERT INTO float_scale VALUES(60,8388608,8.0779356694631608871e-28);
INSERT INTO float_scale VALUES(61,8388608,1.6155871338926321774e-27);
INSERT INTO float_scale VALUES(62,8388608,3.2311742677852643549e-27);
INSERT INTO float_scale VALUES(63,8388608,6.4623485355705287099e-27);
INSERT INTO float_scale VALUES(64,8388608,1.2924697071141057419e-26);
INSERT INTO float_scale VALUES(65,8388608,2.5849394142282114839e-26);
INSERT INTO float_scale VALUES(66,8388608,5.1698788284564229679e-26);
INSERT INTO float_scale VALUES(67,8388608,1.0339757656912845935e-25);
INSERT INTO float_scale VALUES(68,8388608,2.0679515313825691871e-25);
INSERT INTO float_scale VALUES(69,8388608,4.1359030627651383743e-25);
INSERT INTO float_scale VALUES(70,8388608,8.2718061255302767487e-25);
INSERT INTO float_scale VALUES(71,8388608,1.6543612251060553497e-24);
INSERT INTO float_scale VALUES(72,8388608,3.3087224502121106994e-24);
INSERT INTO float_scale VALUES(73,8388608,6.6174449004242213989e-24);
INSERT INTO float_scale VALUES(74,8388608,1.3234889800848442797e-23);
INSERT INTO float_scale VALUES(75,8388608,2.6469779601696885595e-23);
INSERT INTO float_scale VALUES(76,8388608,5.2939559203393771191e-23);
INSERT INTO float_scale VALUES(77,8388608,1.0587911840678754238e-22);
INSERT INTO float_scale VALUES(78,8388608,2.1175823681357508476e-22);
INSERT INTO float_scale VALUES(79,8388608,4.2351647362715016953e-22);
INSERT INTO float_scale VALUES(80,8388608,8.4703294725430033906e-22);
INSERT INTO float_scale VALUES(81,8388608,1.6940658945086006781e-21);
INSERT INTO float_scale VALUES(82,8388608,3.3881317890172013562e-21);
INSERT INTO float_scale VALUES(83,8388608,6.7762635780344027125e-21);
INSERT INTO float_scale VALUES(84,8388608,1.3552527156068805425e-20);
INSERT INTO float_scale VALUES(85,8388608,2.710505431213761085e-20);
INSERT INTO float_scale VALUES(86,8388608,5.42101086242752217e-20);
INSERT INTO float_scale VALUES(87,8388608,1.084202172485504434e-19);
INSERT INTO float_scale VALUES(88,8388608,2.168404344971008868e-19);
INSERT INTO float_scale VALUES(89,8388608,4.336808689942017736e-19);
INSERT INTO float_scale VALUES(90,8388608,8.673617379884035472e-19);
INSERT INTO float_scale VALUES(91,8388608,1.7347234759768070944e-18);
INSERT INTO float_scale VALUES(92,8388608,3.4694469519536141888e-18);
INSERT INTO float_scale VALUES(93,8388608,6.9388939039072283776e-18);
INSERT INTO float_scale VALUES(94,8388608,1.3877787807814456755e-17);
INSERT INTO float_scale VALUES(95,8388608,2.775557561562891351e-17);
INSERT INTO float_scale VALUES(96,8388608,5.5511151231257827021e-17);
INSERT INTO float_scale VALUES(97,8388608,1.1102230246251565404e-16);
INSERT INTO float_scale VALUES(98,8388608,2.2204460492503130808e-16);
INSERT INTO float_scale VALUES(99,8388608,4.4408920985006261616e-16);
INSERT INTO float_scale VALUES(100,8388608,8.8817841970012523233e-16);
INSERT INTO float_scale VALUES(101,8388608,1.7763568394002504646e-15);
INSERT INTO float_scale VALUES(102,8388608,3.5527136788005009293e-15);
INSERT INTO float_scale VALUES(103,8388608,7.1054273576010018587e-15);
INSERT INTO float_scale VALUES(104,8388608,1.4210854715202003717e-14);
INSERT INTO float_scale VALUES(105,8388608,2.8421709430404007434e-14);
INSERT INTO float_scale VALUES(106,8388608,5.6843418860808014869e-14);
INSERT INTO float_scale VALUES(107,8388608,1.1368683772161602973e-13);
INSERT INTO float_scale VALUES(108,8388608,2.2737367544323205947e-13);
INSERT INTO float_scale VALUES(109,8388608,4.5474735088646411895e-13);
INSERT INTO float_scale VALUES(110,8388608,9.0949470177292823791e-13);
INSERT INTO float_scale VALUES(111,8388608,1.8189894035458564758e-12);
INSERT INTO float_scale VALUES(112,8388608,3.6379788070917129516e-12);
INSERT INTO float_scale VALUES(113,8388608,7.2759576141834259033e-12);
INSERT INTO float_scale VALUES(114,8388608,1.4551915228366851806e-11);
INSERT INTO float_scale VALUES(115,8388608,2.9103830456733703613e-11);
INSERT INTO float_scale VALUES(116,8388608,5.8207660913467407226e-11);
INSERT INTO float_scale VALUES(117,8388608,1.1641532182693481445e-10);
INSERT INTO float_scale VALUES(118,8388608,2.328306436538696289e-10);
INSERT INTO float_scale VALUES(119,8388608,4.6566128730773925781e-10);
INSERT INTO float_scale VALUES(120,8388608,9.3132257461547851562e-10);
INSERT INTO float_scale VALUES(121,8388608,1.8626451492309570312e-09);
INSERT INTO float_scale VALUES(122,8388608,3.7252902984619140625e-09);
INSERT INTO float_scale VALUES(123,8388608,7.450580596923828125e-09);
INSERT INTO float_scale VALUES(124,8388608,1.490116119384765625e-08);
INSERT INTO float_scale VALUES(125,8388608,2.98023223876953125e-08);
INSERT INTO float_scale VALUES(126,8388608,5.9604644775390625e-08);
INSERT INTO float_scale VALUES(127,8388608,1.1920928955078125e-07);
INSERT INTO float_scale VALUES(128,8388608,2.384185791015625e-07);
INSERT INTO float_scale VALUES(129,8388608,4.76837158203125e-07);
INSERT INTO float_scale VALUES(130,8388608,9.5367431640625e-07);
INSERT INTO float_scale VALUES(131,8388608,1.9073486328125e-06);
INSERT INTO float_scale VALUES(132,8388608,3.814697265625e-06);
INSERT INTO float_scale VALUES(133,8388608,7.62939453125e-06);
INSERT INTO float_scale VALUES(134,8388608,1.52587890625e-05);
INSERT INTO float_scale VALUES(135,8388608,3.0517578125e-05);
INSERT INTO float_scale VALUES(136,8388608,6.103515625e-05);
INSERT INTO float_scale VALUES(137,8388608,0.0001220703125);
INSERT INTO float_scale VALUES(138,8388608,0.000244140625);
INSERT INTO float_scale VALUES(139,8388608,0.00048828125);
INSERT INTO float_scale VALUES(140,8388608,0.0009765625);
INSERT INTO float_scale VALUES(141,8388608,0.001953125);
INSERT INTO float_scale VALUES(142,8388608,0.00390625);
INSERT INTO float_scale VALUES(143,8388608,0.0078125);
INSERT INTO float_scale VALUES(144,8388608,0.015625);
INSERT INTO float_scale VALUES(145,8388608,0.03125);
INSERT INTO float_scale VALUES(146,8388608,0.0625);
INSERT INTO float_scale VALUES(147,8388608,0.125);
INSERT INTO float_scale VALUES(148,8388608,0.25);
INSERT INTO float_scale VALUES(149,8388608,0.5);
INSERT INTO float_scale VALUES(150,8388608,1.0);
INSERT INTO float_scale VALUES(151,8388608,2.0);
INSERT INTO float_scale VALUES(152,8388608,4.0);
INSERT INTO float_scale VALUES(153,8388608,8.0);
INSERT INTO float_scale VALUES(154,8388608,16.0);
INSERT INTO float_scale VALUES(155,8388608,32.0);
INSERT INTO float_scale VALUES(156,8388608,64.0);
INSERT INTO float_scale VALUES(157,8388608,128.0);
INSERT INTO float_scale VALUES(158,8388608,256.0);
INSERT INTO float_scale VALUES(159,8388608,512.0);
INSERT INTO float_scale VALUES(160,8388608,1024.0);
INSERT INTO float_scale VALUES(161,8388608,2048.0);
INSERT INTO float_scale VALUES(162,8388608,4096.0);
INSERT INTO float_scale VALUES(163,8388608,8192.0);
INSERT INTO float_scale VALUES(164,8388608,16384.0);
INSERT INTO float_scale VALUES(165,8388608,32768.0);
INSERT INTO float_scale VALUES(166,8388608,65536.0);
INSERT INTO float_scale VALUES(167,8388608,131072.0);
INSERT INTO float_scale VALUES(168,8388608,262144.0);
INSERT INTO float_scale VALUES(169,8388608,524288.0);
INSERT INTO float_scale VALUES(170,8388608,1048576.0);
INSERT INTO float_scale VALUES(171,8388608,2097152.0);
INSERT INTO float_scale VALUES(172,8388608,4194304.0);
INSERT INTO float_scale VALUES(173,8388608,8388608.0);
INSERT INTO float_scale VALUES(174,8388608,16777216.0);
INSERT INTO float_scale VALUES(175,8388608,33554432.0);
INSERT INTO float_scale VALUES(176,8388608,67108864.0);
INSERT INTO float_scale VALUES(177,8388608,134217728.0);
INSERT INTO float_scale VALUES(178,8388608,268435456.0);
INSERT INTO float_scale VALUES(179,8388608,536870912.0);
INSERT INTO float_scale VALUES(180,8388608,1073741824.0);
INSERT INTO float_scale VALUES(181,8388608,2147483648.0);
INSERT INTO float_scale VALUES(182,8388608,4294967296.0);
INSERT INTO float_scale VALUES(183,8388608,8589934592.0);
INSERT INTO float_scale VALUES(184,8388608,17179869184.0);
INSERT INTO float_scale VALUES(185,8388608,34359738368.0);
INSERT INTO float_scale VALUES(186,8388608,68719476736.0);
INSERT INTO float_scale VALUES(187,8388608,137438953472.0);
INSERT INTO float_scale VALUES(188,8388608,274877906944.0);
INSERT INTO float_scale VALUES(189,8388608,549755813888.0);
INSERT INTO float_scale VALUES(190,8388608,1099511627776.0);
INSERT INTO float_scale VALUES(191,8388608,2199023255552.0);
INSERT INTO float_scale VALUES(192,8388608,4398046511104.0);
INSERT INTO float_scale VALUES(193,8388608,8796093022208.0);
INSERT INTO float_scale VALUES(194,8388608,17592186044416.0);
INSERT INTO float_scale VALUES(195,8388608,35184372088832.0);
INSERT INTO float_scale VALUES(196,8388608,70368744177664.0);
INSERT INTO float_scale VALUES(197,8388608,140737488355328.0);
INSERT INTO float_scale VALUES(198,8388608,281474976710656.0);
INSERT INTO float_scale VALUES(199,8388608,562949953421312.0);
INSERT INTO float_scale VALUES(200,8388608,1125899906842624.0);
INSERT INTO float_scale VALUES(201,8388608,2251799813685248.0);
INSERT INTO float_scale VALUES(202,8388608,4503599627370496.0);
INSERT INTO float_scale VALUES(203,8388608,9007199254740992.0);
INSERT INTO float_scale VALUES(204,8388608,18014398509481984.0);
INSERT INTO float_scale VALUES(205,8388608,36028797018963968.0);
INSERT INTO float_scale VALUES(206,8388608,72057594037927936.0);
INSERT INTO float_scale VALUES(207,8388608,144115188075855872.0);
INSERT INTO float_scale VALUES(208,8388608,288230376151711744.0);
INSERT INTO float_scale VALUES(209,8388608,576460752303423488.0);
INSERT INTO float_scale VALUES(210,8388608,1152921504606846976.0);
INSERT INTO float_scale VALUES(211,8388608,2305843009213693952.0);
INSERT INTO float_scale VALUES(212,8388608,4611686018427387904.0);
INSERT INTO float_scale VALUES(213,8388608,9223372036854775807.8);
INSERT INTO float_scale VALUES(214,8388608,18446744073709551615.0);
INSERT INTO float_scale VALUES(215,8388608,36893488147419103231.0);
INSERT INTO float_scale VALUES(216,8388608,73786976294838206463.0);
INSERT INTO float_scale VALUES(217,8388608,1.4757395258967641293e+20);
INSERT INTO float_scale VALUES(218,8388608,2.9514790517935282587e+20);
INSERT INTO float_scale VALUES(219,8388608,5.9029581035870565173e+20);
INSERT INTO float_scale VALUES(220,8388608,1.1805916207174113034e+21);
INSERT INTO float_scale VALUES(221,8388608,2.3611832414348226068e+21);
INSERT INTO float_scale VALUES(222,8388608,4.7223664828696452137e+21);
INSERT INTO float_scale VALUES(223,8388608,9.4447329657392904275e+21);
INSERT INTO float_scale VALUES(224,8388608,1.8889465931478580854e+22);
INSERT INTO float_scale VALUES(225,8388608,3.7778931862957161708e+22);
INSERT INTO float_scale VALUES(226,8388608,7.5557863725914323417e+22);
INSERT INTO float_scale VALUES(227,8388608,1.5111572745182864683e+23);
INSERT INTO float_scale VALUES(228,8388608,3.0223145490365729366e+23);
INSERT INTO float_scale VALUES(229,8388608,6.0446290980731458733e+23);
INSERT INTO float_scale VALUES(230,8388608,1.2089258196146291747e+24);
INSERT INTO float_scale VALUES(231,8388608,2.4178516392292583494e+24);
INSERT INTO float_scale VALUES(232,8388608,4.8357032784585166989e+24);
INSERT INTO float_scale VALUES(233,8388608,9.6714065569170333978e+24);
INSERT INTO float_scale VALUES(234,8388608,1.9342813113834066794e+25);
INSERT INTO float_scale VALUES(235,8388608,3.8685626227668133589e+25);
INSERT INTO float_scale VALUES(236,8388608,7.737125245533626718e+25);
INSERT INTO float_scale VALUES(237,8388608,1.5474250491067253436e+26);
INSERT INTO float_scale VALUES(238,8388608,3.0948500982134506873e+26);
INSERT INTO float_scale VALUES(239,8388608,6.1897001964269013746e+26);
INSERT INTO float_scale VALUES(240,8388608,1.2379400392853802748e+27);
INSERT INTO float_scale VALUES(241,8388608,2.4758800785707605496e+27);
INSERT INTO float_scale VALUES(242,8388608,4.9517601571415210993e+27);
INSERT INTO float_scale VALUES(243,8388608,9.9035203142830421987e+27);
INSERT INTO float_scale VALUES(244,8388608,1.9807040628566084399e+28);
INSERT INTO float_scale VALUES(245,8388608,3.9614081257132168797e+28);
INSERT INTO float_scale VALUES(246,8388608,7.9228162514264337595e+28);
INSERT INTO float_scale VALUES(247,8388608,1.5845632502852867518e+29);
INSERT INTO float_scale VALUES(248,8388608,3.1691265005705735037e+29);
INSERT INTO float_scale VALUES(249,8388608,6.3382530011411470074e+29);
INSERT INTO float_scale VALUES(250,8388608,1.2676506002282294014e+30);
INSERT INTO float_scale VALUES(251,8388608,2.5353012004564588028e+30);
INSERT INTO float_scale VALUES(252,8388608,5.0706024009129176057e+30);
INSERT INTO float_scale VALUES(253,8388608,1.0141204801825835211e+31);
INSERT INTO float_scale VALUES(254,8388608,2.0282409603651670422e+31);
INSERT INTO float_scale VALUES(255,8388608,1e999);
CREATE TABLE denoising (
  run INTEGER PRIMARY KEY REFERENCES run ON DELETE CASCADE,
  branches INTEGER NOT NULL,
  patch_rows INTEGER NOT NULL,
  patch_columns INTEGER NOT NULL
);
CREATE TABLE denoising_step (
  run INTEGER NOT NULL REFERENCES run ON DELETE CASCADE,
  step INTEGER NOT NULL,
  timestep REAL NOT NULL,
  PRIMARY KEY (run, step)
) WITHOUT ROWID;
CREATE TABLE denoising_group (
  id INTEGER PRIMARY KEY,
  router INTEGER NOT NULL REFERENCES router ON DELETE CASCADE,
  branch INTEGER NOT NULL,
  sample_group INTEGER NOT NULL,
  steps BLOB NOT NULL,
  patches BLOB NOT NULL,
  UNIQUE (router, branch, sample_group)
);
CREATE TABLE denoising_weight (
  id INTEGER PRIMARY KEY,
  router INTEGER NOT NULL REFERENCES router ON DELETE CASCADE,
  branch INTEGER NOT NULL,
  steps BLOB NOT NULL,
  patches BLOB NOT NULL,
  UNIQUE (router, branch)
);
CREATE TABLE denoising_sample (
  router INTEGER NOT NULL REFERENCES router ON DELETE CASCADE,
  branch INTEGER NOT NULL,
  sample INTEGER NOT NULL,
  counts BLOB NOT NULL,
  weights BLOB NOT NULL,
  PRIMARY KEY (router, branch, sample)
) WITHOUT ROWID;
CREATE TABLE page_extra (
  page INTEGER PRIMARY KEY REFERENCES page ON DELETE CASCADE,
  norms BLOB,
  shared_weight BLOB,
  shared_norm BLOB
);
CREATE TABLE token_extra (
  run INTEGER NOT NULL REFERENCES run ON DELETE CASCADE,
  token INTEGER NOT NULL,
  pass INTEGER,
  batch INTEGER,
  predicted_id INTEGER,
  PRIMARY KEY (run, token)
) WITHOUT ROWID;
CREATE TABLE expert_label (
  router INTEGER NOT NULL REFERENCES router ON DELETE CASCADE,
  expert INTEGER NOT NULL,
  label TEXT NOT NULL,
  PRIMARY KEY (router, expert)
) WITHOUT ROWID;
CREATE TABLE router_more (
  router INTEGER PRIMARY KEY REFERENCES router ON DELETE CASCADE,
  path TEXT NOT NULL,
  stack TEXT NOT NULL,
  facts TEXT NOT NULL
);
CREATE TABLE token_more (
  run INTEGER NOT NULL REFERENCES run ON DELETE CASCADE,
  token INTEGER NOT NULL,
  request INTEGER,
  rank INTEGER,
  PRIMARY KEY (run, token)
) WITHOUT ROWID;
CREATE TABLE token_label (
  run INTEGER NOT NULL REFERENCES run ON DELETE CASCADE,
  token INTEGER NOT NULL,
  label TEXT NOT NULL,
  value TEXT NOT NULL,
  PRIMARY KEY (run, token, label)
) WITHOUT ROWID;
CREATE TABLE coordinate (
  run INTEGER NOT NULL REFERENCES run ON DELETE CASCADE,
  token INTEGER NOT NULL,
  name TEXT NOT NULL,
  value REAL NOT NULL,
  PRIMARY KEY (run, token, name)
) WITHOUT ROWID;
CREATE TABLE import_finding (
  run INTEGER NOT NULL REFERENCES run ON DELETE CASCADE,
  number INTEGER NOT NULL,
  code TEXT NOT NULL,
  severity TEXT NOT NULL,
  router TEXT,
  count INTEGER NOT NULL,
  "of" INTEGER NOT NULL,
  first TEXT NOT NULL,
  detail TEXT NOT NULL,
  PRIMARY KEY (run, number)
) WITHOUT ROWID;
DELETE FROM sqlite_sequence;
INSERT INTO sqlite_sequence VALUES('run',1);
CREATE UNIQUE INDEX page_by_token ON page (router, first_token);
CREATE VIEW runs (run, name, state, reason, started_at, ended_at, tokens, sequences, tags, model, family, model_hash, quantization, input, recording, description, parent, intervention, series, kind, row, source_format, origin) AS
SELECT r.id, r.name,
  CASE WHEN r.state = 'running' AND r.heartbeat < (julianday('now') - 2440587.5) * 86400 - 60 THEN 'interrupted' ELSE r.state END,
  r.reason, r.started_at, r.ended_at, r.token_count,
  (SELECT count(*) FROM sequence AS s WHERE s.run = r.id AND s.token_count > 0),
  r.tags, json_extract(r.description, '$.model.name'), json_extract(r.description, '$.model.family'),
  json_extract(r.description, '$.model.filesHash'), json_extract(r.description, '$.model.quantization'),
  json_extract(r.description, '$.input.source'), json_extract(r.description, '$.recording.content'), r.description,
  json_extract(r.description, '$.parent'), json_extract(r.description, '$.intervention'), json_extract(r.description, '$.series'),
  coalesce(json_extract(r.description, '$.recorded.kind'), 'engine'),
  coalesce(json_extract(r.description, '$.recorded.row'),
    CASE WHEN json_type(r.description, '$.denoising') IS NULL THEN 'token' ELSE 'patch' END),
  json_extract(r.description, '$.recorded.format'), json_extract(r.description, '$.recorded.source')
FROM run AS r;
CREATE VIEW sequences (run, sequence, name, labels, tokens) AS
SELECT run, sequence, name, labels, token_count FROM sequence;
CREATE VIEW sequence_labels (run, sequence, label, value) AS
SELECT s.run, s.sequence, j.key, j.value FROM sequence AS s CROSS JOIN json_each(s.labels) AS j;
CREATE VIEW tokens (run, token, sequence, position, token_id, phase, surprisal, next_token_entropy, text, step, timestep, branch, patch_row, patch_column, pass, batch, predicted_id, request, rank, row) AS
SELECT t.run, t.token, t.sequence, t.position, t.token_id, CASE t.phase WHEN 0 THEN 'prefill' WHEN 1 THEN 'decode' WHEN 2 THEN 'encode' ELSE 'denoise' END,
  t.surprisal, t.next_token_entropy, CAST(p.piece AS TEXT),
  t.position / (d.patch_rows * d.patch_columns * d.branches), s.timestep,
  t.position / (d.patch_rows * d.patch_columns) % d.branches,
  t.position % (d.patch_rows * d.patch_columns) / d.patch_columns, t.position % d.patch_columns,
  x.pass, x.batch, nullif(x.predicted_id, -1), o.request, o.rank,
  (SELECT coalesce(json_extract(u.description, '$.recorded.row'), CASE t.phase WHEN 3 THEN 'patch' ELSE 'token' END)
    FROM run AS u WHERE u.id = t.run)
FROM token AS t LEFT JOIN piece AS p ON p.run = t.run AND p.token_id = t.token_id
LEFT JOIN token_extra AS x ON x.run = t.run AND x.token = t.token
LEFT JOIN token_more AS o ON o.run = t.run AND o.token = t.token
LEFT JOIN denoising AS d ON d.run = t.run
LEFT JOIN denoising_step AS s ON s.run = t.run AND s.step = t.position / (d.patch_rows * d.patch_columns * d.branches);
CREATE VIEW routers (run, stack, layer, experts, top_k, tokens, policy, selection_unit, spec, router, bank, selection, scoring, rule, weight_kind, shared_experts) AS
SELECT r.run, coalesce(m.stack, r.stack), r.layer, r.expert_count, r.top_k, r.token_count, r.policy, r.selection_unit, r.spec,
  coalesce(m.path, r.stack || '.' || r.layer), coalesce(json_extract(m.facts, '$.bank'), coalesce(m.path, r.stack || '.' || r.layer)), CASE WHEN json_type(r.spec, '$.selection.tokenChoice') IS NOT NULL THEN 'top_k' WHEN json_type(r.spec, '$.selection.hash') IS NOT NULL THEN 'hash'
  WHEN json_type(r.spec, '$.selection.aboveThreshold') IS NOT NULL THEN 'threshold'
  ELSE json_extract(r.spec, '$.selection.stated._0') END, CASE WHEN json_type(r.spec, '$.scoring.stated') IS NOT NULL THEN json_extract(r.spec, '$.scoring.stated._0')
  WHEN json_type(r.spec, '$.scoring.sqrtSoftplus') IS NOT NULL THEN 'sqrt_softplus'
  ELSE (SELECT j.key FROM json_each(r.spec, '$.scoring') AS j LIMIT 1) END,
  CASE WHEN json_extract(r.spec, '$.selection.stated._0') = 'unknown' AND json_extract(r.spec, '$.scoring.stated._0') = 'unknown' THEN 'unknown'
  WHEN json_type(r.spec, '$.selection.stated') IS NOT NULL OR json_type(r.spec, '$.scoring.stated') IS NOT NULL THEN 'declared' ELSE 'executable' END, CASE WHEN json_type(r.spec, '$.statedWeights') IS NOT NULL THEN json_extract(r.spec, '$.statedWeights')
  WHEN json_extract(r.spec, '$.routedScale') < 0 OR json_extract(r.spec, '$.weighting') = 'scores' AND json_type(r.spec, '$.scoring.logits') IS NOT NULL THEN 'signed'
  WHEN json_extract(r.spec, '$.routedScale') <> 1 OR json_type(r.spec, '$.expertScales') IS NOT NULL OR json_extract(r.spec, '$.weighting') = 'ones' THEN 'unnormalized'
  WHEN json_type(r.spec, '$.normalization.sum') IS NOT NULL OR json_type(r.spec, '$.normalization.sumClamped') IS NOT NULL THEN 'probability'
  WHEN json_type(r.spec, '$.normalization.pNorm') IS NOT NULL THEN
    CASE WHEN json_extract(r.spec, '$.normalization.pNorm._0') = 1 THEN 'probability' ELSE 'unnormalized' END
  WHEN json_extract(r.spec, '$.weighting') = 'softmaxOfSelectedLogits' THEN 'probability'
  WHEN json_extract(r.spec, '$.weighting') = 'scores' AND json_type(r.spec, '$.scoring.softmax') IS NOT NULL THEN 'probability'
  ELSE 'unnormalized' END, json_extract(m.facts, '$.sharedExperts')
FROM router AS r LEFT JOIN router_more AS m ON m.router = r.id;
CREATE VIEW routing (run, stack, layer, token, rank, expert, weight, dropped, router, norm) AS
SELECT t.run, coalesce(m.stack, r.stack), r.layer, t.token, n.number,
  CASE r.id_bytes WHEN 1 THEN ((instr(d.bytes, substr(p.ids, 1 + ((t.token - p.first_token) * (length(p.ids) / (p.token_count * r.id_bytes)) + n.number), 1)) - 1))
    WHEN 2 THEN ((instr(d.bytes, substr(p.ids, 1 + (((t.token - p.first_token) * (length(p.ids) / (p.token_count * r.id_bytes)) + n.number) * 2), 1)) - 1) + ((instr(d.bytes, substr(p.ids, 1 + (((t.token - p.first_token) * (length(p.ids) / (p.token_count * r.id_bytes)) + n.number) * 2) + 1, 1)) - 1) << 8))
    ELSE ((instr(d.bytes, substr(p.ids, 1 + (((t.token - p.first_token) * (length(p.ids) / (p.token_count * r.id_bytes)) + n.number) * 4), 1)) - 1) + ((instr(d.bytes, substr(p.ids, 1 + (((t.token - p.first_token) * (length(p.ids) / (p.token_count * r.id_bytes)) + n.number) * 4) + 1, 1)) - 1) << 8) + ((instr(d.bytes, substr(p.ids, 1 + (((t.token - p.first_token) * (length(p.ids) / (p.token_count * r.id_bytes)) + n.number) * 4) + 2, 1)) - 1) << 16) + ((instr(d.bytes, substr(p.ids, 1 + (((t.token - p.first_token) * (length(p.ids) / (p.token_count * r.id_bytes)) + n.number) * 4) + 3, 1)) - 1) << 24)) END,
  CASE length(p.weights) WHEN p.token_count * (length(p.ids) / (p.token_count * r.id_bytes)) * 4 THEN (SELECT CASE WHEN bits & 0x7f800000 = 0x7f800000 AND bits & 0x7fffff THEN NULL
        ELSE (1 - 2 * (bits >> 31)) * ((bits & 0x7fffff) + s.leading) * s.scale END
  FROM (SELECT ((instr(d.bytes, substr(w, 1 + (0), 1)) - 1) + ((instr(d.bytes, substr(w, 1 + (0) + 1, 1)) - 1) << 8) + ((instr(d.bytes, substr(w, 1 + (0) + 2, 1)) - 1) << 16) + ((instr(d.bytes, substr(w, 1 + (0) + 3, 1)) - 1) << 24)) AS bits FROM (SELECT substr(p.weights, 1 + ((t.token - p.first_token) * (length(p.ids) / (p.token_count * r.id_bytes)) + n.number) * 4, 4) AS w LIMIT 1) LIMIT 1)
  JOIN float_scale AS s ON s.exponent = (bits >> 23) & 0xff)
    WHEN p.token_count * (length(p.ids) / (p.token_count * r.id_bytes)) * 2 THEN (SELECT CASE WHEN bits & 0x7c00 = 0x7c00 AND bits & 0x3ff THEN NULL
        WHEN bits & 0x7c00 = 0x7c00 THEN (1 - 2 * (bits >> 15)) * 9e999
        ELSE (1 - 2 * (bits >> 15)) * (((bits & 0x3ff) << 13) + (bits & 0x7c00 <> 0) * s.leading) * s.scale END
  FROM (SELECT ((instr(d.bytes, substr(w, 1 + (0), 1)) - 1) + ((instr(d.bytes, substr(w, 1 + (0) + 1, 1)) - 1) << 8)) AS bits FROM (SELECT substr(p.weights, 1 + ((t.token - p.first_token) * (length(p.ids) / (p.token_count * r.id_bytes)) + n.number) * 2, 2) AS w LIMIT 1) LIMIT 1)
  JOIN float_scale AS s ON s.exponent = max((bits >> 10) & 0x1f, 1) + 112) END,
  CASE WHEN p.dropped IS NULL THEN 0 ELSE (((instr(d.bytes, substr(p.dropped, 1 + ((t.token - p.first_token) * (length(p.ids) / (p.token_count * r.id_bytes)) + n.number) / 8, 1)) - 1) >> (((t.token - p.first_token) * (length(p.ids) / (p.token_count * r.id_bytes)) + n.number) % 8)) & 1) END,
  coalesce(m.path, r.stack || '.' || r.layer), (SELECT CASE WHEN bits & 0x7f800000 = 0x7f800000 AND bits & 0x7fffff THEN NULL
        ELSE (1 - 2 * (bits >> 31)) * ((bits & 0x7fffff) + s.leading) * s.scale END
  FROM (SELECT ((instr(d.bytes, substr(w, 1 + (0), 1)) - 1) + ((instr(d.bytes, substr(w, 1 + (0) + 1, 1)) - 1) << 8) + ((instr(d.bytes, substr(w, 1 + (0) + 2, 1)) - 1) << 16) + ((instr(d.bytes, substr(w, 1 + (0) + 3, 1)) - 1) << 24)) AS bits FROM (SELECT substr(x.norms, 1 + ((t.token - p.first_token) * (length(p.ids) / (p.token_count * r.id_bytes)) + n.number) * 4, 4) AS w LIMIT 1) LIMIT 1)
  JOIN float_scale AS s ON s.exponent = (bits >> 23) & 0xff)
FROM token AS t
CROSS JOIN router AS r ON r.run = t.run
CROSS JOIN page AS p ON p.router = r.id AND p.first_token > t.token - r.page_tokens AND p.first_token <= t.token
  AND p.first_token + p.token_count > t.token
CROSS JOIN number AS n ON n.number < (length(p.ids) / (p.token_count * r.id_bytes))
CROSS JOIN decoder AS d
LEFT JOIN page_extra AS x ON x.page = p.id
LEFT JOIN router_more AS m ON m.router = r.id
WHERE p.absent IS NULL OR NOT (((instr(d.bytes, substr(p.absent, 1 + ((t.token - p.first_token) * (length(p.ids) / (p.token_count * r.id_bytes)) + n.number) / 8, 1)) - 1) >> (((t.token - p.first_token) * (length(p.ids) / (p.token_count * r.id_bytes)) + n.number) % 8)) & 1);
CREATE VIEW routing_stats (run, stack, layer, token, entropy, selection_margin, top1_margin, top_k_mass, shared_weight, shared_norm, router, state, parent) AS
SELECT t.run, coalesce(m.stack, r.stack), r.layer, t.token,
  (SELECT CASE WHEN bits & 0x7f800000 = 0x7f800000 AND bits & 0x7fffff THEN NULL
        ELSE (1 - 2 * (bits >> 31)) * ((bits & 0x7fffff) + s.leading) * s.scale END
  FROM (SELECT ((instr(d.bytes, substr(w, 1 + (0), 1)) - 1) + ((instr(d.bytes, substr(w, 1 + (0) + 1, 1)) - 1) << 8) + ((instr(d.bytes, substr(w, 1 + (0) + 2, 1)) - 1) << 16) + ((instr(d.bytes, substr(w, 1 + (0) + 3, 1)) - 1) << 24)) AS bits FROM (SELECT substr(p.entropy, 1 + (t.token - p.first_token) * 4, 4) AS w LIMIT 1) LIMIT 1)
  JOIN float_scale AS s ON s.exponent = (bits >> 23) & 0xff),
  (SELECT CASE WHEN bits & 0x7f800000 = 0x7f800000 AND bits & 0x7fffff THEN NULL
        ELSE (1 - 2 * (bits >> 31)) * ((bits & 0x7fffff) + s.leading) * s.scale END
  FROM (SELECT ((instr(d.bytes, substr(w, 1 + (0), 1)) - 1) + ((instr(d.bytes, substr(w, 1 + (0) + 1, 1)) - 1) << 8) + ((instr(d.bytes, substr(w, 1 + (0) + 2, 1)) - 1) << 16) + ((instr(d.bytes, substr(w, 1 + (0) + 3, 1)) - 1) << 24)) AS bits FROM (SELECT substr(p.selection_margin, 1 + (t.token - p.first_token) * 4, 4) AS w LIMIT 1) LIMIT 1)
  JOIN float_scale AS s ON s.exponent = (bits >> 23) & 0xff),
  (SELECT CASE WHEN bits & 0x7f800000 = 0x7f800000 AND bits & 0x7fffff THEN NULL
        ELSE (1 - 2 * (bits >> 31)) * ((bits & 0x7fffff) + s.leading) * s.scale END
  FROM (SELECT ((instr(d.bytes, substr(w, 1 + (0), 1)) - 1) + ((instr(d.bytes, substr(w, 1 + (0) + 1, 1)) - 1) << 8) + ((instr(d.bytes, substr(w, 1 + (0) + 2, 1)) - 1) << 16) + ((instr(d.bytes, substr(w, 1 + (0) + 3, 1)) - 1) << 24)) AS bits FROM (SELECT substr(p.top1_margin, 1 + (t.token - p.first_token) * 4, 4) AS w LIMIT 1) LIMIT 1)
  JOIN float_scale AS s ON s.exponent = (bits >> 23) & 0xff),
  (SELECT CASE WHEN bits & 0x7f800000 = 0x7f800000 AND bits & 0x7fffff THEN NULL
        ELSE (1 - 2 * (bits >> 31)) * ((bits & 0x7fffff) + s.leading) * s.scale END
  FROM (SELECT ((instr(d.bytes, substr(w, 1 + (0), 1)) - 1) + ((instr(d.bytes, substr(w, 1 + (0) + 1, 1)) - 1) << 8) + ((instr(d.bytes, substr(w, 1 + (0) + 2, 1)) - 1) << 16) + ((instr(d.bytes, substr(w, 1 + (0) + 3, 1)) - 1) << 24)) AS bits FROM (SELECT substr(p.top_k_mass, 1 + (t.token - p.first_token) * 4, 4) AS w LIMIT 1) LIMIT 1)
  JOIN float_scale AS s ON s.exponent = (bits >> 23) & 0xff),
  (SELECT CASE WHEN bits & 0x7f800000 = 0x7f800000 AND bits & 0x7fffff THEN NULL
        ELSE (1 - 2 * (bits >> 31)) * ((bits & 0x7fffff) + s.leading) * s.scale END
  FROM (SELECT ((instr(d.bytes, substr(w, 1 + (0), 1)) - 1) + ((instr(d.bytes, substr(w, 1 + (0) + 1, 1)) - 1) << 8) + ((instr(d.bytes, substr(w, 1 + (0) + 2, 1)) - 1) << 16) + ((instr(d.bytes, substr(w, 1 + (0) + 3, 1)) - 1) << 24)) AS bits FROM (SELECT substr(x.shared_weight, 1 + (t.token - p.first_token) * 4, 4) AS w LIMIT 1) LIMIT 1)
  JOIN float_scale AS s ON s.exponent = (bits >> 23) & 0xff),
  (SELECT CASE WHEN bits & 0x7f800000 = 0x7f800000 AND bits & 0x7fffff THEN NULL
        ELSE (1 - 2 * (bits >> 31)) * ((bits & 0x7fffff) + s.leading) * s.scale END
  FROM (SELECT ((instr(d.bytes, substr(w, 1 + (0), 1)) - 1) + ((instr(d.bytes, substr(w, 1 + (0) + 1, 1)) - 1) << 8) + ((instr(d.bytes, substr(w, 1 + (0) + 2, 1)) - 1) << 16) + ((instr(d.bytes, substr(w, 1 + (0) + 3, 1)) - 1) << 24)) AS bits FROM (SELECT substr(x.shared_norm, 1 + (t.token - p.first_token) * 4, 4) AS w LIMIT 1) LIMIT 1)
  JOIN float_scale AS s ON s.exponent = (bits >> 23) & 0xff), coalesce(m.path, r.stack || '.' || r.layer), (SELECT CASE WHEN json_type(m.facts, '$.states') IS NULL THEN NULL ELSE
  (SELECT count(*) FROM json_each(m.facts, '$.states') AS j WHERE json_extract(j.value, '$.firstToken') <= t.token) END), json_extract(m.facts, '$.parent')
FROM token AS t
CROSS JOIN router AS r ON r.run = t.run
CROSS JOIN page AS p ON p.router = r.id AND p.first_token > t.token - r.page_tokens AND p.first_token <= t.token
  AND p.first_token + p.token_count > t.token
CROSS JOIN decoder AS d
LEFT JOIN page_extra AS x ON x.page = p.id
LEFT JOIN router_more AS m ON m.router = r.id;
CREATE VIEW layer_load (run, stack, layer, expert, assignments, load, importance, mean_weight, router) AS
SELECT r.run, coalesce(m.stack, r.stack), r.layer, e.expert, e.assignments,
  CASE WHEN r.assignments > 0 THEN CAST(e.assignments AS REAL) / r.assignments END,
  CASE WHEN r.importance_tokens > 0 THEN e.importance_sum / r.importance_tokens END,
  CASE WHEN e.assignments > 0 THEN e.weight_sum / e.assignments END, coalesce(m.path, r.stack || '.' || r.layer)
FROM router AS r CROSS JOIN expert_total AS e ON e.router = r.id LEFT JOIN router_more AS m ON m.router = r.id;
CREATE VIEW layer_summary (run, stack, layer, experts, top_k, tokens, assignments, dropped, idle_experts, max_load, max_over_mean_load, mean_entropy, mean_normalized_entropy, mean_selection_margin, mean_top1_margin, mean_top_k_mass, router) AS
SELECT r.run, coalesce(m.stack, r.stack), r.layer, r.expert_count, r.top_k, r.token_count, r.assignments, r.dropped,
  (SELECT count(*) FROM expert_total AS e WHERE e.router = r.id AND e.assignments = 0),
  (SELECT CAST(max(e.assignments) AS REAL) / nullif(r.assignments, 0) FROM expert_total AS e WHERE e.router = r.id),
  (SELECT CAST(max(e.assignments) AS REAL) * r.expert_count / nullif(r.assignments, 0) FROM expert_total AS e WHERE e.router = r.id),
  r.entropy_sum / nullif(r.entropy_tokens, 0),
  r.entropy_sum / nullif(r.entropy_tokens * r.log_expert_count, 0),
  r.selection_margin_sum / nullif(r.selection_margin_tokens, 0),
  r.top1_margin_sum / nullif(r.top1_margin_tokens, 0),
  r.top_k_mass_sum / nullif(r.top_k_mass_tokens, 0), coalesce(m.path, r.stack || '.' || r.layer)
FROM router AS r LEFT JOIN router_more AS m ON m.router = r.id;
CREATE VIEW denoising_counts (run, stack, layer, branch, axis, cell, expert, count) AS
SELECT r.run, coalesce(m.stack, r.stack), r.layer, g.branch, 'step', CAST(n.number / r.expert_count AS TEXT), n.number % r.expert_count,
  sum(((instr(d.bytes, substr(g.steps, 1 + (n.number * 4), 1)) - 1) + ((instr(d.bytes, substr(g.steps, 1 + (n.number * 4) + 1, 1)) - 1) << 8) + ((instr(d.bytes, substr(g.steps, 1 + (n.number * 4) + 2, 1)) - 1) << 16) + ((instr(d.bytes, substr(g.steps, 1 + (n.number * 4) + 3, 1)) - 1) << 24)))
FROM router AS r
LEFT JOIN router_more AS m ON m.router = r.id
CROSS JOIN denoising_group AS g ON g.router = r.id
CROSS JOIN number AS n ON n.number < length(g.steps) / 4
CROSS JOIN decoder AS d
GROUP BY r.run, r.stack, r.layer, g.branch, n.number
UNION ALL
SELECT r.run, coalesce(m.stack, r.stack), r.layer, g.branch, 'patch', CAST(n.number / r.expert_count AS TEXT), n.number % r.expert_count,
  sum(((instr(d.bytes, substr(g.patches, 1 + (n.number * 4), 1)) - 1) + ((instr(d.bytes, substr(g.patches, 1 + (n.number * 4) + 1, 1)) - 1) << 8) + ((instr(d.bytes, substr(g.patches, 1 + (n.number * 4) + 2, 1)) - 1) << 16) + ((instr(d.bytes, substr(g.patches, 1 + (n.number * 4) + 3, 1)) - 1) << 24)))
FROM router AS r
LEFT JOIN router_more AS m ON m.router = r.id
CROSS JOIN denoising_group AS g ON g.router = r.id
CROSS JOIN number AS n ON n.number < length(g.patches) / 4
CROSS JOIN decoder AS d
GROUP BY r.run, r.stack, r.layer, g.branch, n.number
UNION ALL
SELECT r.run, coalesce(m.stack, r.stack), r.layer, c.branch, 'class', CAST(json_extract(q.labels, '$.class') AS TEXT), n.number,
  sum(((instr(d.bytes, substr(c.counts, 1 + (n.number * 4), 1)) - 1) + ((instr(d.bytes, substr(c.counts, 1 + (n.number * 4) + 1, 1)) - 1) << 8) + ((instr(d.bytes, substr(c.counts, 1 + (n.number * 4) + 2, 1)) - 1) << 16) + ((instr(d.bytes, substr(c.counts, 1 + (n.number * 4) + 3, 1)) - 1) << 24)))
FROM router AS r LEFT JOIN router_more AS m ON m.router = r.id
CROSS JOIN denoising_sample AS c ON c.router = r.id
CROSS JOIN sequence AS q ON q.run = r.run AND q.sequence = c.sample AND json_extract(q.labels, '$.class') IS NOT NULL
CROSS JOIN number AS n ON n.number < r.expert_count
CROSS JOIN decoder AS d
GROUP BY r.run, r.stack, r.layer, c.branch, json_extract(q.labels, '$.class'), n.number;
CREATE VIEW capture_checks (run, name, outcome, detail) AS
SELECT run, name, outcome, detail FROM capture_check;
CREATE VIEW expert_labels (run, stack, layer, expert, label) AS
SELECT r.run, coalesce(m.stack, r.stack), r.layer, l.expert, l.label FROM expert_label AS l JOIN router AS r ON r.id = l.router LEFT JOIN router_more AS m ON m.router = r.id;
CREATE VIEW experts (run, router, expert, name, width, bytes, rank, physical, pruned) AS
SELECT r.run, coalesce(m.path, r.stack || '.' || r.layer), json_extract(j.value, '$.expert'), json_extract(j.value, '$.name'), json_extract(j.value, '$.width'),
  json_extract(j.value, '$.bytes'), json_extract(j.value, '$.rank'), json_extract(j.value, '$.physical'),
  json_extract(j.value, '$.pruned')
FROM router_more AS m JOIN router AS r ON r.id = m.router CROSS JOIN json_each(m.facts, '$.experts') AS j;
CREATE VIEW token_labels (run, token, label, value) AS
SELECT run, token, label, value FROM token_label;
CREATE VIEW coordinates (run, token, name, value) AS
SELECT run, token, name, value FROM coordinate;
CREATE VIEW import_audit (run, code, severity, router, count, "of", first, detail) AS
SELECT run, code, severity, router, count, "of", first, detail FROM import_finding;
COMMIT;
